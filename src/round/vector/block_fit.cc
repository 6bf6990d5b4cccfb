#include "round/vector/block_fit.h"

#include <algorithm>
#include <cmath>

#include "round/vector/entry_blocks.h"

namespace bitloom {
namespace {

/// out [rows, width] = the vectors chosen from `codebooks`, times their scales, less w where there is one.
template <typename T>
void gather(const BlockCodes& code, const std::vector<T>& codebooks, const float* w, float* out) {
  const int64_t g = code.storage.group;
  for (int64_t r = 0; r < code.rows; ++r) {
    for (int64_t j = 0; j < code.groups; ++j) {
      const T* entry = codebooks.data() + code.place(r, j);
      const float scale = code.scale(r, j);
      for (int64_t t = 0; t < g; ++t, ++out) {
        *out = scale * static_cast<float>(entry[t]) - (w == nullptr ? 0.0f : *w++);
      }
    }
  }
}

/// out [codebooks] = sums over the uses of each entry of values [rows, width] times the vectors' scales.
void scatter(const BlockCodes& code, const float* values, std::vector<double>& out) {
  const int64_t g = code.storage.group;
  std::fill(out.begin(), out.end(), 0.0);
  for (int64_t r = 0; r < code.rows; ++r) {
    for (int64_t j = 0; j < code.groups; ++j) {
      double* entry = out.data() + code.place(r, j);
      const auto scale = static_cast<double>(code.scale(r, j));
      for (int64_t t = 0; t < g; ++t) entry[t] += scale * static_cast<double>(*values++);
    }
  }
}

class Fit {
 public:
  Fit(const BlockCodes& code, const LayerMoment& moment, ThreadPool& threads)
      : code_(code),
        moment_(moment),
        threads_(threads),
        size_(static_cast<size_t>(code.blocks.down * code.strip_size())),
        error_(static_cast<size_t>(code.rows * code.width())),
        product_(error_.size()),
        factors_(size_ * static_cast<size_t>(code.storage.group)) {
    const int64_t g = code.storage.group;
    for (int64_t r = 0; r < code.rows; ++r) {
      for (int64_t j = 0; j < code.groups; ++j) {
        double* m = factors_.data() + code.place(r, j) * g;
        const auto scale = static_cast<double>(code.scale(r, j)), square = scale * scale;
        for (int64_t s = 0; s < g; ++s) {
          for (int64_t t = 0; t <= s; ++t)
            m[s * g + t] += square * static_cast<double>(moment.at(j * g + s, j * g + t));
        }
      }
    }
    for (size_t at = 0; at < factors_.size(); at += static_cast<size_t>(g * g)) factorize_entry(&factors_[at], g);
  }

  std::vector<double> run(std::span<const float> w, const std::vector<float>& codebooks, int64_t iterations) {
    std::vector<double> x(size_), r(size_), z(size_), p, ap(size_);
    gather(code_, codebooks, w.data(), error_.data());
    times_moment(moment_, code_.rows, error_.data(), product_.data(), threads_);
    scatter(code_, product_.data(), r);
    for (double& value : r) value = -value;
    precondition(r, z);
    p = z;
    std::vector<double> rz = dots(r, z);
    for (int64_t i = 0; i < iterations; ++i) {
      gather<double>(code_, p, nullptr, error_.data());
      times_moment(moment_, code_.rows, error_.data(), product_.data(), threads_);
      scatter(code_, product_.data(), ap);
      const std::vector<double> curvature = dots(p, ap);
      for_each_strip([&](size_t strip, size_t begin, size_t end) {
        const double step = rz[strip] > 0 && curvature[strip] > 0 ? rz[strip] / curvature[strip] : 0;
        for (size_t k = begin; k < end; ++k) x[k] += step * p[k], r[k] -= step * ap[k];
      });
      precondition(r, z);
      const std::vector<double> next = dots(r, z);
      for_each_strip([&](size_t strip, size_t begin, size_t end) {
        const double turn = rz[strip] > 0 ? next[strip] / rz[strip] : 0;
        for (size_t k = begin; k < end; ++k) p[k] = z[k] + turn * p[k];
      });
      rz = next;
    }
    return x;
  }

 private:
  template <typename Body>
  void for_each_strip(const Body& body) const {
    const auto size = static_cast<size_t>(code_.strip_size());
    for (size_t strip = 0; strip < static_cast<size_t>(code_.blocks.down); ++strip) {
      body(strip, strip * size, (strip + 1) * size);
    }
  }

  std::vector<double> dots(const std::vector<double>& a, const std::vector<double>& b) const {
    std::vector<double> sums;
    for_each_strip([&](size_t, size_t begin, size_t end) {
      double sum = 0;
      for (size_t k = begin; k < end; ++k) sum += a[k] * b[k];
      sums.push_back(sum);
    });
    return sums;
  }

  void precondition(const std::vector<double>& r, std::vector<double>& z) const {
    const auto g = static_cast<size_t>(code_.storage.group);
    for (size_t at = 0; at < size_; at += g) {
      solve_entry(factors_.data() + at * g, code_.storage.group, r.data() + at, z.data() + at);
    }
  }

  const BlockCodes& code_;
  const LayerMoment& moment_;
  ThreadPool& threads_;
  size_t size_;
  std::vector<float> error_, product_;
  std::vector<double> factors_;  // [down, across, 2^B, G, G]
};

}  // namespace

std::vector<double> block_losses(const BlockCodes& code, const LayerMoment& moment, std::span<const float> w,
                                 std::span<const float> codebooks, ThreadPool& threads) {
  const auto size = static_cast<size_t>(code.rows * code.width());
  std::vector<float> error(size), product(size);
  gather(code, std::vector<float>(codebooks.begin(), codebooks.end()), w.data(), error.data());
  times_moment(moment, code.rows, error.data(), product.data(), threads);
  std::vector<double> losses(static_cast<size_t>(code.blocks.down));
  for (size_t i = 0; i < size; ++i) {
    const auto row = static_cast<int64_t>(i) / code.width();
    losses[static_cast<size_t>(row / code.blocks.height)] +=
        static_cast<double>(error[i]) * static_cast<double>(product[i]);
  }
  return losses;
}

std::vector<float> fit_block_codebooks(const BlockCodes& code, const LayerMoment& moment, std::span<const float> w,
                                       const std::vector<float>& codebooks, int64_t iterations, ThreadPool& threads) {
  const std::vector<double> x = Fit(code, moment, threads).run(w, codebooks, iterations);
  std::vector<float> fitted = codebooks;
  const auto strip = static_cast<size_t>(code.strip_size());
  for (size_t begin = 0; begin < fitted.size(); begin += strip) {
    const bool finite =
        std::all_of(x.begin() + static_cast<int64_t>(begin), x.begin() + static_cast<int64_t>(begin + strip),
                    [](double value) { return std::isfinite(value); });
    for (size_t k = begin; finite && k < begin + strip; ++k) {
      fitted[k] = static_cast<float>(static_cast<double>(fitted[k]) + x[k]);
    }
  }
  return fitted;
}

}  // namespace bitloom
