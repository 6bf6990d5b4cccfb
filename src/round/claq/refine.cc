#include "round/claq/refine.h"

#include <algorithm>

#include "base/dtype.h"
#include "base/vector_clones.h"
#include "linalg/gemm.h"
#include "round/kmeans/kmeans.h"

namespace bitloom {
namespace {

constexpr int64_t kBlock = 64;  // columns whose G is made at once
constexpr int64_t kSlab = 256;  // rows that one thread takes

BITLOOM_VECTOR_CLONES void add_scaled(float* y, const float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

/// One run over a matrix; E and G are [cols, rows].
class Refiner {
 public:
  Refiner(const RefineProblem& problem, ColumnCodebooks& chosen, ThreadPool& threads)
      : p_(problem),
        chosen_(chosen),
        threads_(threads),
        errors_(static_cast<size_t>(p_.rows * p_.cols)),
        gradient_(static_cast<size_t>(kBlock * p_.rows)),
        q_(static_cast<size_t>(p_.rows)),
        target_(q_.size()),
        moved_(q_.size()) {
    threads_.parallel_for(p_.cols, [&](int64_t c) {
      float* error = column(c);
      decode(static_cast<size_t>(c), error);
      for (int64_t r = 0; r < p_.rows; ++r) error[r] = p_.w[r * p_.cols + c] - error[r];
    });
  }

  void turn() {
    for (int64_t begin = 0; begin < p_.cols; begin += kBlock) {
      const int64_t end = std::min(p_.cols, begin + kBlock);
      make_gradient(begin, end);
      for (int64_t c = begin; c < end; ++c) run_column(c, begin, end);
    }
  }

 private:
  float* column(int64_t c) { return errors_.data() + c * p_.rows; }
  float scale(size_t r) const { return p_.row_scales.empty() ? 1.0f : p_.row_scales[r]; }

  /// G[begin:end] = H[begin:end, :] E.
  void make_gradient(int64_t begin, int64_t end) {
    threads_.parallel_for((p_.rows + kSlab - 1) / kSlab, [&](int64_t slab) {
      const int64_t row = slab * kSlab, count = std::min(p_.rows - row, kSlab);
      sgemm(Transpose::kNo, Transpose::kNo, end - begin, count, p_.cols, 1.0f, p_.h + begin * p_.cols, p_.cols,
            errors_.data() + row, p_.rows, 0.0f, gradient_.data() + row, p_.rows);
    });
  }

  void run_column(int64_t c, int64_t begin, int64_t end) {
    const float own = p_.h[c * p_.cols + c];
    const float* gradient = gradient_.data() + (c - begin) * p_.rows;
    const auto place = static_cast<size_t>(c);
    decode(place, q_.data());
    for (size_t r = 0; r < q_.size(); ++r) {
      target_[r] = std::clamp((q_[r] + gradient[r] / own) / scale(r), -kMostF16, kMostF16);
    }
    choose(place);
    decode(place, moved_.data());
    float* error = column(c);
    for (size_t r = 0; r < q_.size(); ++r) moved_[r] = q_[r] - moved_[r];
    add_scaled(error, moved_.data(), 1.0f, p_.rows);
    for (int64_t k = c + 1; k < end; ++k) {
      add_scaled(gradient_.data() + (k - begin) * p_.rows, moved_.data(), p_.h[c * p_.cols + k], p_.rows);
    }
  }

  /// Codes, levels and kept weights of a column for its target.
  void choose(size_t c) {
    CodebookColumn& column = chosen_.columns[c];
    std::sort(column.table.begin(), column.table.end());
    encode_levels(column.table, target_.data(), p_.rows, column.codes.data());
    std::vector<double> sums(column.table.size(), 0), masses(column.table.size(), 0);
    is_kept_.assign(q_.size(), 0);
    for (const KeptWeight& kept : chosen_.kept[c]) is_kept_[kept.row] = 1;
    for (size_t r = 0; r < q_.size(); ++r) {
      if (is_kept_[r] != 0) continue;
      const double mass = static_cast<double>(scale(r)) * static_cast<double>(scale(r));
      sums[column.codes[r]] += mass * static_cast<double>(target_[r]);
      masses[column.codes[r]] += mass;
    }
    for (size_t k = 0; k < sums.size(); ++k) {
      if (masses[k] > 0) column.table[k] = finite_f16(static_cast<float>(sums[k] / masses[k]));
    }
    for (KeptWeight& kept : chosen_.kept[c])
      kept.added = finite_f16(target_[kept.row] - column.table[column.codes[kept.row]]);
  }

  void decode(size_t c, float* out) const {
    const CodebookColumn& column = chosen_.columns[c];
    for (size_t r = 0; r < column.codes.size(); ++r) out[r] = column.table[column.codes[r]];
    for (const KeptWeight& kept : chosen_.kept[c]) out[kept.row] += kept.added;
    for (size_t r = 0; r < p_.row_scales.size(); ++r) out[r] *= p_.row_scales[r];
  }

  const RefineProblem& p_;
  ColumnCodebooks& chosen_;
  ThreadPool& threads_;
  std::vector<float> errors_, gradient_, q_, target_, moved_;
  std::vector<uint8_t> is_kept_;
};

}  // namespace

void refine_codebooks(const RefineProblem& problem, int64_t turns, ColumnCodebooks& chosen, ThreadPool& threads) {
  if (turns <= 0 || problem.rows == 0) return;
  Refiner refiner(problem, chosen, threads);
  for (int64_t turn = 0; turn < turns; ++turn) refiner.turn();
}

}  // namespace bitloom
