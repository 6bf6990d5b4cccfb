#include "round/column_loop/column_loop.h"

#include <algorithm>

#include "base/simd/vector_clones.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kSpan = 512;   // columns that are paid what earlier ones owe at once, where all rows are
constexpr int64_t kBlock = 128;  // columns between products inside a span; a span of its own where rows are few
constexpr int64_t kLeaf = 16;    // columns that are updated one by one
constexpr int64_t kSlab = 256;   // rows of a product that one thread takes

/// The next cut after `at`: at most `most` columns on, at the end of a group if one lies within reach.
int64_t next_cut(int64_t at, int64_t end, int64_t most, int64_t group) {
  const int64_t group_end = (at / group + 1) * group;
  if (group_end - at >= most) return std::min(end, at + most);
  return std::min(end, group_end + (at + most - group_end) / group * group);
}

/// e = (w - q) / d; returns sum e^2 in double, added up in a fixed order of eight partial sums.
BITLOOM_VECTOR_CLONES double column_error(const float* w, const float* q, float d, float* e, int64_t rows) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      const float error = (w[i + lane] - q[i + lane]) / d;
      e[i + lane] = error;
      sums[lane] += static_cast<double>(error) * static_cast<double>(error);
    }
  }
  for (; i < rows; ++i) {
    e[i] = (w[i] - q[i]) / d;
    sums[0] += static_cast<double>(e[i]) * static_cast<double>(e[i]);
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// w -= factor * e.
BITLOOM_VECTOR_CLONES void subtract_scaled(float* w, const float* e, float factor, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) w[i] -= factor * e[i];
}

class Loop {
 public:
  Loop(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows, ColumnPolicy& policy, ThreadPool* threads)
      : u_(feedback.u),
        p_(feedback.correction),
        n_(feedback.columns),
        w_(w),
        e_(errors),
        rows_(rows),
        policy_(policy),
        threads_(threads),
        group_(policy.group()),
        vector_(policy.vector()),
        inside_(policy.feeds_inside_groups()),
        q_(static_cast<size_t>(rows)) {}

  double run() {
    for (int64_t begin = 0; begin < n_;) {
      const int64_t end = next_cut(begin, n_, std::max(threads_ == nullptr ? kBlock : kSpan, group_), group_);
      pay(0, begin, begin, end);
      run_span(begin, end);
      begin = end;
    }
    policy_.end_loop();
    return loss_;
  }

 private:
  /// The first column that is fed the error of the one before `next`.
  int64_t first_fed(int64_t next) const { return inside_ ? next : (next - 1) / group_ * group_ + group_; }

  /// w[to0:to1] -= U[from0:from1, to0:to1]^T e[from0:from1], and += P^T w~ likewise.
  void pay(int64_t from0, int64_t from1, int64_t to0, int64_t to1) {
    if (from0 == from1 || to0 >= to1) return;
    if (threads_ == nullptr) return pay_rows(from0, from1, to0, to1, 0, rows_);
    threads_->parallel_for((rows_ + kSlab - 1) / kSlab, [&](int64_t slab) {
      pay_rows(from0, from1, to0, to1, slab * kSlab, std::min(rows_, (slab + 1) * kSlab));
    });
  }

  void pay_rows(int64_t from0, int64_t from1, int64_t to0, int64_t to1, int64_t row0, int64_t row1) {
    sgemm(Transpose::kYes, Transpose::kNo, to1 - to0, row1 - row0, from1 - from0, -1.0f, u_ + from0 * n_ + to0, n_,
          e_ + from0 * rows_ + row0, rows_, 1.0f, w_ + to0 * rows_ + row0, rows_);
    if (p_ == nullptr) return;
    sgemm(Transpose::kYes, Transpose::kNo, to1 - to0, row1 - row0, from1 - from0, 1.0f, p_ + from0 * n_ + to0, n_,
          w_ + from0 * rows_ + row0, rows_, 1.0f, w_ + to0 * rows_ + row0, rows_);
  }

  void run_span(int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
      const int64_t block_end = next_cut(at, end, kBlock, group_);
      run_block(at, block_end);
      pay(at, block_end, first_fed(block_end), end);
      at = block_end;
    }
  }

  void run_block(int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
      const int64_t leaf_end = next_cut(at, end, kLeaf, group_);
      for (int64_t j = at; j < leaf_end; ++j) run_column(j, leaf_end);
      pay(at, leaf_end, first_fed(leaf_end), end);
      at = leaf_end;
    }
  }

  void run_column(int64_t j, int64_t leaf_end) {
    float* column = w_ + j * rows_;
    if (j % group_ == 0) policy_.begin_group(j, std::min(n_, j + group_), column);
    if (j % vector_ == 0) policy_.begin_vector(j, std::min(n_, j + vector_), column);
    policy_.quantize_column(j, column, q_.data());
    float* error = e_ + j * rows_;
    loss_ += column_error(column, q_.data(), u_[j * n_ + j], error, rows_);
    for (int64_t k = first_fed(j + 1); k < leaf_end; ++k) {
      subtract_scaled(w_ + k * rows_, error, u_[j * n_ + k], rows_);
      if (p_ != nullptr) subtract_scaled(w_ + k * rows_, column, -p_[j * n_ + k], rows_);
    }
  }

  const float *u_, *p_;
  int64_t n_;
  float *w_, *e_;
  int64_t rows_;
  ColumnPolicy& policy_;
  ThreadPool* threads_;
  int64_t group_, vector_;
  bool inside_;  // errors are fed to the rest of the group
  std::vector<float> q_;
  double loss_ = 0;
};

}  // namespace

double column_loop(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows, ColumnPolicy& policy,
                   ThreadPool* threads) {
  return Loop(feedback, w, errors, rows, policy, threads).run();
}

double column_loop_reference(const ColumnFeedback& feedback, float* w, float* errors, int64_t rows,
                             ColumnPolicy& policy) {
  const int64_t columns = feedback.columns;
  const float *u = feedback.u, *p = feedback.correction;
  std::vector<double> exact(w, w + columns * rows);
  std::vector<float> q(static_cast<size_t>(rows));
  double loss = 0;
  for (int64_t j = 0; j < columns; ++j) {
    const int64_t group_end = std::min(columns, (j / policy.group() + 1) * policy.group());
    std::copy(exact.begin() + j * rows, exact.begin() + group_end * rows, w + j * rows);
    if (j % policy.group() == 0) policy.begin_group(j, group_end, w + j * rows);
    if (j % policy.vector() == 0) policy.begin_vector(j, std::min(columns, j + policy.vector()), w + j * rows);
    policy.quantize_column(j, w + j * rows, q.data());
    for (int64_t r = 0; r < rows; ++r) {
      const double chosen = exact[static_cast<size_t>(j * rows + r)];
      const double e =
          (chosen - static_cast<double>(q[static_cast<size_t>(r)])) / static_cast<double>(u[j * columns + j]);
      errors[j * rows + r] = static_cast<float>(e);
      loss += e * e;
      for (int64_t k = policy.feeds_inside_groups() ? j + 1 : group_end; k < columns; ++k) {
        const double gain = p == nullptr ? 0 : static_cast<double>(p[j * columns + k]);
        exact[static_cast<size_t>(k * rows + r)] += chosen * gain - e * static_cast<double>(u[j * columns + k]);
      }
    }
  }
  policy.end_loop();
  return loss;
}

}  // namespace bitloom
