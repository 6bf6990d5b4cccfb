#include "round/lorc/low_rank_pair.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/memory/dense_matrix.h"
#include "linalg/gemm.h"
#include "linalg/leading_vectors.h"
#include "round/nearest/nearest.h"
#include "round/round_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kPanel = 256;  // rows of a product

/// Both as long as each other, as sqrt(S) on either side makes them.
void balance(float* a, int64_t rows, float* b, int64_t cols) {
  double square = 0;
  for (int64_t c = 0; c < cols; ++c) square += static_cast<double>(b[c]) * static_cast<double>(b[c]);
  const double root = std::sqrt(std::sqrt(square));
  if (root == 0) return;
  for (int64_t r = 0; r < rows; ++r) a[r] = static_cast<float>(static_cast<double>(a[r]) * root);
  for (int64_t c = 0; c < cols; ++c) b[c] = static_cast<float>(static_cast<double>(b[c]) / root);
}

std::shared_ptr<const StoredMatrix> stored_factor(const RoundingProblem& problem, const std::vector<float>& values,
                                                  int64_t width) {
  const auto rows = dense_matrix(static_cast<int64_t>(values.size()) / std::max<int64_t>(width, 1), width, values);
  const RoundingTarget target{{problem.target.storage.side.low_rank.factors, {}}, {}};
  return round_matrix(NearestRounding{}, {.place = problem.place,
                                          .weights = *rows,
                                          .target = target,
                                          .inputs = nullptr,
                                          .shared = problem.shared,
                                          .ranks = problem.ranks,
                                          .threads = problem.threads})
      .matrix;
}

}  // namespace

LowRankPair best_pair(const std::vector<float>& e, int64_t rows, int64_t cols, const float* h, int64_t rank,
                      ThreadPool& threads) {
  LeadingVectors leading = leading_vectors(e.data(), rows, cols, h, rank, threads);
  LowRankPair pair{std::move(leading.vectors), std::vector<float>(static_cast<size_t>(rank * cols))};
  sgemm_panels(Transpose::kNo, rank, cols, rows, 1, pair.a.data(), e.data(), 0, pair.b.data(), threads);
  for (int64_t k = 0; k < rank; ++k) balance(pair.a.data() + k * rows, rows, pair.b.data() + k * cols, cols);
  return pair;
}

void subtract_product(const LowRankPair& pair, int64_t rows, int64_t cols, std::vector<float>& w, ThreadPool& threads) {
  const int64_t rank = static_cast<int64_t>(pair.b.size()) / cols;
  threads.parallel_for((rows + kPanel - 1) / kPanel, [&](int64_t panel) {
    const int64_t first = panel * kPanel, count = std::min(kPanel, rows - first);
    sgemm(Transpose::kYes, Transpose::kNo, count, cols, rank, -1, pair.a.data() + first, rows, pair.b.data(), cols, 1,
          w.data() + first * cols, cols);
  });
}

std::shared_ptr<const StoredMatrix> with_pair(const RoundingProblem& problem, const StoredMatrix& base,
                                              const LowRankPair& pair) {
  Storage storage = base.spec();
  storage.side.low_rank = problem.target.storage.side.low_rank;
  std::vector<std::vector<std::byte>> bytes;
  const auto add = [&bytes](const StoredMatrix& matrix) {
    for (const TensorPart& part : matrix.parts()) bytes.emplace_back(part.bytes.begin(), part.bytes.end());
  };
  add(base);
  add(*stored_factor(problem, pair.a, base.rows()));
  add(*stored_factor(problem, pair.b, base.cols()));
  return stored_from_bytes(problem.place, storage, base.rows(), base.cols(), std::move(bytes));
}

Storage without_pair(Storage storage) {
  storage.side.low_rank = {};
  return storage;
}

void count_errors(const std::vector<float>& w, const StoredMatrix& matrix, RoundReport& report) {
  const std::vector<float> q = matrix.decode_all();
  double error = 0, norm = 0, most = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    const double weight = w[i], difference = weight - static_cast<double>(q[i]);
    error += difference * difference, norm += weight * weight, most = std::max(most, std::abs(difference));
  }
  report.weight_error = norm > 0 ? error / norm : 0, report.max_abs_error = most;
}

}  // namespace bitloom
