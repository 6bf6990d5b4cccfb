#include "round/svid/svid.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/memory/plain_bytes.h"
#include "format/families/sign_rank1/sign_rank1.h"
#include "linalg/gemm.h"
#include "round/gptq/gptq.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

std::vector<float> load(const RoundingProblem& problem) {
  return TileReader(problem.place, problem.weights, 1, problem.threads).decode_all();
}

/// What is stored of a matrix.
struct SignMatrix {
  std::vector<uint8_t> signs;  // [rows, cols], 1: +
  RankOne scales;
};

class SignColumns final : public StoringPolicy {
 public:
  SignColumns(const RankOne& scales, const std::vector<int64_t>& order, RowRange rows)
      : scales_(scales), order_(order), rows_(rows), signs_(order.size() * static_cast<size_t>(rows.count())) {}

  int64_t group() const override { return 1; }
  void begin_group(int64_t, int64_t, const float*) override {}
  void quantize_column(int64_t position, const float* w, float* q) override {
    for (int64_t r = 0; r < rows_.count(); ++r) signs_[place(position, r)] = w[r] >= 0 ? 1 : 0;
    decode_column(position, q);
  }
  void decode_column(int64_t position, float* weights) const override {
    const float h = scales_.col_scales[static_cast<size_t>(order_[static_cast<size_t>(position)])];
    for (int64_t r = 0; r < rows_.count(); ++r) {
      const float magnitude = scales_.row_scales[static_cast<size_t>(rows_.begin + r)] * h;
      weights[r] = signs_[place(position, r)] != 0 ? magnitude : -magnitude;
    }
  }
  Bytes chosen() const override {
    Bytes bytes;
    append(bytes, signs_);
    return bytes;
  }

 private:
  size_t place(int64_t position, int64_t r) const {
    return static_cast<size_t>(r) * order_.size() + static_cast<size_t>(order_[static_cast<size_t>(position)]);
  }

  const RankOne& scales_;
  const std::vector<int64_t>& order_;
  RowRange rows_;
  std::vector<uint8_t> signs_;  // [rows, cols]
};

class SignPolicies final : public ColumnPolicies {
 public:
  SignPolicies(const RoundingProblem& problem, const GptqFactor& factor, int64_t iterations)
      : problem_(problem), factor_(factor), w_(load(problem)) {
    const RowSource& w = problem.weights;
    matrix_.signs.resize(w_.size());
    matrix_.scales = leading_pair(w_, w.rows(), w.cols(), factor.error_costs(), iterations, problem.threads);
  }

  bool rows_are_separable() const override { return true; }
  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<SignColumns>(matrix_.scales, factor_.order, rows);
  }
  void store(RowRange rows, const Bytes& chosen) override {
    const auto signs = BytesReader(chosen).take<uint8_t>();
    const auto cols = static_cast<int64_t>(factor_.order.size());
    if (static_cast<int64_t>(signs.size()) != rows.count() * cols) {
      fail(ErrorKind::kFailed, "rows [{}, {}): {} signs of {} columns do not fit", rows.begin, rows.end, signs.size(),
           cols);
    }
    std::copy(signs.begin(), signs.end(), matrix_.signs.begin() + rows.begin * cols);
  }
  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    refit_rows();
    return stored_from_bytes(name, problem_.target.storage, problem_.weights.rows(), problem_.weights.cols(),
                             pack_sign_rank1(matrix_.signs, matrix_.scales.row_scales, matrix_.scales.col_scales));
  }

 private:
  /// g_r <- g_r (w_r H q_r) / (q_r H q_r), H damped as the loop's.
  void refit_rows() {
    const int64_t rows = problem_.weights.rows(), cols = problem_.weights.cols();
    std::vector<float> h(static_cast<size_t>(cols * cols)), q(w_.size()), hq(w_.size());
    problem_.inputs->moment->copy_to(h.data(), problem_.threads);
    for (int64_t c = 0; c < cols; ++c) h[static_cast<size_t>(c * cols + c)] += static_cast<float>(factor_.lambda());
    for (size_t i = 0; i < q.size(); ++i) {
      const float magnitude = matrix_.scales.col_scales[i % static_cast<size_t>(cols)];
      q[i] = matrix_.signs[i] != 0 ? magnitude : -magnitude;
    }
    linear_dense(q.data(), cols, rows, h.data(), cols, cols, nullptr, hq.data(), cols, problem_.threads);
    for (int64_t r = 0; r < rows; ++r) {
      double numerator = 0, denominator = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const auto i = static_cast<size_t>(r * cols + c);
        numerator += static_cast<double>(w_[i]) * static_cast<double>(hq[i]);
        denominator += static_cast<double>(q[i]) * static_cast<double>(hq[i]);
      }
      if (denominator > 0 && numerator > 0) {
        matrix_.scales.row_scales[static_cast<size_t>(r)] = finite_f16(static_cast<float>(numerator / denominator));
      }
    }
  }

  const RoundingProblem& problem_;
  const GptqFactor& factor_;
  std::vector<float> w_;
  SignMatrix matrix_;
};

/// Errors of the matrix as it is stored, against W.
void measure(const std::vector<float>& w, const StoredMatrix& matrix, RoundReport& report) {
  const std::vector<float> q = matrix.decode_all();
  double error = 0, norm = 0;
  report.max_abs_error = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double x = w[i], difference = x - static_cast<double>(q[i]);
    error += difference * difference, norm += x * x;
    report.max_abs_error = std::max(report.max_abs_error, std::abs(difference));
  }
  report.weight_error = norm > 0 ? error / norm : 0;
}

Rounded round_without_data(const SvidRounding& options, const RoundingProblem& problem) {
  const std::vector<float> w = load(problem);
  const int64_t rows = problem.weights.rows(), cols = problem.weights.cols();
  const RankOne scales = leading_pair(w, rows, cols, {}, options.iterations, problem.threads);
  std::vector<uint8_t> signs;
  for (const float x : w) signs.push_back(x >= 0 ? 1 : 0);
  Rounded result;
  result.matrix = stored_from_bytes(problem.place, problem.target.storage, rows, cols,
                                    pack_sign_rank1(signs, scales.row_scales, scales.col_scales));
  measure(w, *result.matrix, result.report);
  return result;
}

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};
constexpr Option kOptions[] = {
    number_option<&SvidRounding::iterations>("iterations", 1, 1000, "of the power method"),
    flag_option<&SvidRounding::feedback>("feedback", "signs by error feedback, scales weighted and refitted"),
    number_option<&SvidRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice_option<&SvidRounding::order>("order", kOrders, "in which columns get their signs with feedback"),
};

}  // namespace

/// Columns weighed by sqrt(cost): the pair of |W| diag(sqrt c) is g and sqrt(c) h.
RankOne leading_pair(const std::vector<float>& w, int64_t rows, int64_t cols, const std::vector<float>& costs,
                     int64_t iterations, ThreadPool& threads) {
  std::vector<double> root(static_cast<size_t>(cols), 1), h(root.size()), g(static_cast<size_t>(rows), 1);
  double greatest = 0;
  for (const float cost : costs) greatest = std::max(greatest, static_cast<double>(cost));
  for (size_t c = 0; c < costs.size() && greatest > 0; ++c)
    root[c] = std::sqrt(static_cast<double>(costs[c]) / greatest);
  const auto magnitude = [&](int64_t r, int64_t c) {
    return std::abs(static_cast<double>(w[static_cast<size_t>(r * cols + c)]));
  };
  // Not less than a thousandth, so that each column has a scale of its own.
  for (double& x : root) x = std::max(x, 1e-3);
  double norm = 0;
  for (int64_t turn = 0; turn < iterations; ++turn) {
    constexpr int64_t kSlab = 64;
    threads.parallel_for((cols + kSlab - 1) / kSlab, [&](int64_t slab) {
      const int64_t first = slab * kSlab, last = std::min(cols, first + kSlab);
      std::fill(h.begin() + first, h.begin() + last, 0.0);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = first; c < last; ++c) {
          h[static_cast<size_t>(c)] += g[static_cast<size_t>(r)] * magnitude(r, c) * root[static_cast<size_t>(c)];
        }
      }
    });
    norm = 0;
    for (const double x : h) norm += x * x;
    if (norm == 0) break;
    for (double& x : h) x /= std::sqrt(norm);
    threads.parallel_for(rows, [&](int64_t r) {
      double sum = 0;
      for (int64_t c = 0; c < cols; ++c) {
        sum += magnitude(r, c) * root[static_cast<size_t>(c)] * h[static_cast<size_t>(c)];
      }
      g[static_cast<size_t>(r)] = sum;
    });
  }
  // h has norm 1 in weighed coordinates and g the singular value; both get as much in plain ones.
  double rows_norm = 0, cols_norm = 0;
  for (size_t c = 0; c < h.size(); ++c) h[c] /= root[c], cols_norm += h[c] * h[c];
  for (const double x : g) rows_norm += x * x;
  const double balance = cols_norm > 0 && norm > 0 ? std::sqrt(std::sqrt(rows_norm / cols_norm)) : 0;
  RankOne pair;
  for (const double x : g) pair.row_scales.push_back(balance > 0 ? finite_f16(static_cast<float>(x / balance)) : 0);
  for (const double x : h) pair.col_scales.push_back(finite_f16(static_cast<float>(x * balance)));
  return pair;
}

Needs needs_of(const SvidRounding& options) { return {.second_moment = options.feedback}; }

bool rounds_onto(const SvidRounding&, const Storage& storage) {
  return storage.base.get_if<SignRank1Storage>() != nullptr && storage.side == SideTerms{};
}

Storage storage_by(const SvidRounding&, Storage wanted) { return wanted; }

/// The weights and their signs are held; with feedback the outputs' products too.
RoundingCost cost_of(const SvidRounding& options, const RoundingShape& shape) {
  const auto n = static_cast<double>(shape.rows), d = static_cast<double>(shape.cols);
  RoundingCost cost;
  if (options.feedback) {
    cost = feedback_cost(shape, {.separable = true, .nearest = n * d}, false);
    cost.flops = 2 * n * d * d;
    cost.bytes += 4 * (2 * shape.rows * shape.cols + shape.cols * shape.cols);
  }
  cost.nearest += n * d * static_cast<double>(options.iterations);
  cost.bytes += 6 * shape.rows * shape.cols;
  return cost;
}

Rounded round_by(const SvidRounding& options, const RoundingProblem& problem) {
  if (!options.feedback) return round_without_data(options, problem);
  const GptqFactor& factor = shared_factor({.damping = options.damping, .order = options.order}, 0, problem);
  SignPolicies policies(problem, factor, options.iterations);
  GptqReport report;
  Rounded result;
  result.matrix =
      quantize_columns(problem.place, problem.weights, policies, factor, problem.ranks, problem.threads, &report);
  result.report = feedback_report(report, factor, options.damping);
  measure(load(problem), *result.matrix, result.report);
  return result;
}

constinit const RoundingRow kSvidMethod =
    rounding_row<SvidRounding>("svid", kOptions, "signs, and the best rank-1 magnitudes (sign_rank1)",
                               "signs times rank-1 magnitudes (OneBit's SVID)");

}  // namespace bitloom
