#include "linalg/leading_vectors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kMoreVectors = 16;
constexpr int kIterations = 12;

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// Rows of q [k, n] made orthonormal, twice, as one pass of Gram-Schmidt leaves fp32's roundings of what it takes away;
/// those that the rows before them span become zeros.
void make_orthonormal(std::vector<float>& q, int64_t k, int64_t n) {
  for (int64_t i = 0; i < k; ++i) {
    float* row = q.data() + i * n;
    const double before = std::sqrt(dot(row, row, n));
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const float* other = q.data() + j * n;
        const double part = dot(row, other, n);
        for (int64_t c = 0; c < n; ++c) row[c] -= static_cast<float>(part * static_cast<double>(other[c]));
      }
    }
    const double length = std::sqrt(dot(row, row, n));
    const double factor = length > 1e-6 * before ? 1 / length : 0;
    for (int64_t c = 0; c < n; ++c) row[c] = static_cast<float>(factor * static_cast<double>(row[c]));
  }
}

class Iteration {
 public:
  Iteration(const float* e, int64_t rows, int64_t cols, const float* h, int64_t count, ThreadPool& threads)
      : e_(e), h_(h), rows_(rows), cols_(cols), count_(count), threads_(threads) {
    Rng rng(0, 0x1ead);
    q_.resize(static_cast<size_t>(count * rows));
    for (float& value : q_) value = static_cast<float>(rng.normal());
    make_orthonormal(q_, count_, rows_);
    p_.resize(static_cast<size_t>(count * cols));
    ph_.resize(h == nullptr ? 0 : p_.size());
  }

  /// Q <- orthonormal G Q.
  void step() {
    const float* ph = project();
    // [count, rows] = PH [count, cols] E^T
    threads_.parallel_for((rows_ + kPanel - 1) / kPanel, [&](int64_t panel) {
      const int64_t first = panel * kPanel, width = std::min(kPanel, rows_ - first);
      sgemm(Transpose::kNo, Transpose::kYes, count_, width, cols_, 1, ph, cols_, e_ + first * cols_, cols_, 0,
            q_.data() + first, rows_);
    });
    make_orthonormal(q_, count_, rows_);
  }

  /// The best vectors of the space that Q spans.
  LeadingVectors finish(int64_t rank) {
    const float* ph = project();
    std::vector<double> small(static_cast<size_t>(count_ * count_));  // Q^T G Q
    threads_.parallel_for(count_, [&](int64_t i) {
      for (int64_t j = 0; j <= i; ++j) {
        const double value = dot(ph + i * cols_, p_.data() + j * cols_, cols_);
        small[static_cast<size_t>(i * count_ + j)] = small[static_cast<size_t>(j * count_ + i)] = value;
      }
    });
    const std::vector<double> turns = jacobi_eigenvectors(small.data(), count_);
    const auto value = [&](int64_t i) { return small[static_cast<size_t>(i * count_ + i)]; };
    std::vector<int64_t> order(static_cast<size_t>(count_));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return value(a) > value(b); });
    LeadingVectors found;
    found.vectors.resize(static_cast<size_t>(rank * rows_));
    for (int64_t i = 0; i < rank; ++i) {
      const int64_t from = order[static_cast<size_t>(i)];
      found.values.push_back(std::max(0.0, value(from)));
      combine(turns.data() + from * count_, found.vectors.data() + i * rows_);
    }
    return found;
  }

 private:
  static constexpr int64_t kPanel = 256;

  /// P = Q E [count, cols], and P H; the latter.
  const float* project() {
    threads_.parallel_for((cols_ + kPanel - 1) / kPanel, [&](int64_t panel) {
      const int64_t first = panel * kPanel, width = std::min(kPanel, cols_ - first);
      sgemm(Transpose::kNo, Transpose::kNo, count_, width, rows_, 1, q_.data(), rows_, e_ + first, cols_, 0,
            p_.data() + first, cols_);
    });
    if (h_ == nullptr) return p_.data();
    threads_.parallel_for((cols_ + kPanel - 1) / kPanel, [&](int64_t panel) {
      const int64_t first = panel * kPanel, width = std::min(kPanel, cols_ - first);
      sgemm(Transpose::kNo, Transpose::kNo, count_, width, cols_, 1, p_.data(), cols_, h_ + first, cols_, 0,
            ph_.data() + first, cols_);
    });
    return ph_.data();
  }

  /// out [rows] = sum of turn_k times row k of Q.
  void combine(const double* turn, float* out) const {
    for (int64_t r = 0; r < rows_; ++r) {
      double sum = 0;
      for (int64_t k = 0; k < count_; ++k) sum += turn[k] * static_cast<double>(q_[static_cast<size_t>(k * rows_ + r)]);
      out[r] = static_cast<float>(sum);
    }
  }

  const float *e_, *h_;
  int64_t rows_, cols_, count_;
  ThreadPool& threads_;
  std::vector<float> q_, p_, ph_;  // [count, rows], [count, cols] twice
};

}  // namespace

std::vector<double> jacobi_eigenvectors(double* a, int64_t n) {
  constexpr int kSweeps = 30;
  std::vector<double> v(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i * n + i)] = 1;
  // Rows p and q turn by the angle with this cosine and sine.
  const auto turn = [n](double* m, int64_t p, int64_t q, double c, double s) {
    for (int64_t k = 0; k < n; ++k) {
      const double x = m[p * n + k], y = m[q * n + k];
      m[p * n + k] = c * x - s * y, m[q * n + k] = s * x + c * y;
    }
  };
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    bool turned = false;
    for (int64_t p = 0; p + 1 < n; ++p) {
      for (int64_t q = p + 1; q < n; ++q) {
        const double off = a[p * n + q], app = a[p * n + p], aqq = a[q * n + q];
        if (std::abs(off) <= 1e-15 * std::sqrt(std::abs(app * aqq)) || off == 0) continue;
        turned = true;
        const double theta = (aqq - app) / (2 * off);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::hypot(theta, 1));
        const double c = 1 / std::hypot(t, 1), s = t * c;
        turn(a, p, q, c, s);
        for (int64_t k = 0; k < n; ++k) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y, a[k * n + q] = s * x + c * y;
        }
        turn(v.data(), p, q, c, s);
      }
    }
    if (!turned) break;
  }
  return v;
}

LeadingVectors leading_vectors(const float* e, int64_t rows, int64_t cols, const float* h, int64_t rank,
                               ThreadPool& threads) {
  Iteration iteration(e, rows, cols, h, std::min({rank + kMoreVectors, rows, cols}), threads);
  for (int i = 0; i < kIterations; ++i) iteration.step();
  return iteration.finish(rank);
}

}  // namespace bitloom
