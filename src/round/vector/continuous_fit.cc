#include "round/vector/continuous_fit.h"

#include <algorithm>
#include <cmath>

#include "round/vector/entry_blocks.h"

namespace bitloom {
namespace {

/// Where each entry of the codebooks is used.
class Uses {
 public:
  explicit Uses(const AdditiveCode& code) : entries_(code.storage.entries()) {
    const int64_t books = code.storage.codebooks, places = code.rows * code.groups;
    starts_.resize(static_cast<size_t>(books * entries_ + 1));
    places_.resize(static_cast<size_t>(books * places));
    for (size_t i = 0; i < code.codes.size(); ++i) ++starts_[slot(i, books, code.codes[i]) + 1];
    for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
    std::vector<int64_t> next(starts_.begin(), starts_.end() - 1);
    for (size_t i = 0; i < code.codes.size(); ++i) {
      places_[static_cast<size_t>(next[slot(i, books, code.codes[i])]++)] =
          static_cast<uint32_t>(i / static_cast<size_t>(books));
    }
  }
  int64_t entries() const { return static_cast<int64_t>(starts_.size()) - 1; }
  /// row * groups + group of each use of an entry, counted over all codebooks.
  std::span<const uint32_t> of(int64_t entry) const {
    const auto begin = static_cast<size_t>(starts_[static_cast<size_t>(entry)]);
    return std::span(places_).subspan(begin, static_cast<size_t>(starts_[static_cast<size_t>(entry) + 1]) - begin);
  }

 private:
  size_t slot(size_t i, int64_t books, uint16_t code) const {
    return i % static_cast<size_t>(books) * static_cast<size_t>(entries_) + code;
  }

  int64_t entries_;
  std::vector<int64_t> starts_;
  std::vector<uint32_t> places_;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// The linear system of the codebooks.
class NormalEquations {
 public:
  NormalEquations(const AdditiveCode& code, const LayerMoment& moment, std::vector<float>& error,
                  std::vector<float>& product, ThreadPool& threads)
      : code_(code),
        moment_(moment),
        uses_(code),
        g_(code.storage.group),
        error_(error),
        product_(product),
        threads_(threads) {
    factors_.resize(static_cast<size_t>(uses_.entries() * g_ * g_));
    threads.parallel_for(uses_.entries(), [&](int64_t entry) { factorize_block(entry); });
  }

  /// out [M, 2^B, G]: sum over the uses of each entry of s r_j, r [rows, width].
  void gather(const std::vector<float>& r, std::vector<double>& out) const {
    out.assign(code_.codebooks.size(), 0.0);
    threads_.parallel_for(uses_.entries(), [&](int64_t entry) {
      double* sums = out.data() + entry * g_;
      for (const uint32_t place : uses_.of(entry)) {
        const double s = scale_at(place);
        const float* values = r.data() + int64_t{place} * g_;
        for (int64_t t = 0; t < g_; ++t) sums[t] += s * static_cast<double>(values[t]);
      }
    });
  }

  /// A p.
  void apply(const std::vector<double>& p, std::vector<double>& out) {
    const std::vector<float> narrow(p.begin(), p.end());
    const int64_t width = code_.width();
    threads_.parallel_for(code_.rows, [&](int64_t r) {
      float* row = error_.data() + r * width;
      sum_of_vectors(code_, narrow, r, row);
      for (int64_t c = 0; c < width; ++c) row[c] *= code_.scales[static_cast<size_t>(r)];
    });
    times_moment(moment_, code_.rows, error_.data(), product_.data(), threads_);
    gather(product_, out);
  }

  void precondition(const std::vector<double>& r, std::vector<double>& z) const {
    z.resize(r.size());
    for (int64_t entry = 0; entry < uses_.entries(); ++entry) {
      solve_entry(factors_.data() + entry * g_ * g_, g_, r.data() + entry * g_, z.data() + entry * g_);
    }
  }

 private:
  double scale_at(uint32_t place) const { return code_.scales[place / static_cast<size_t>(code_.groups)]; }

  void factorize_block(int64_t entry) {
    double* block = factors_.data() + entry * g_ * g_;
    for (const uint32_t place : uses_.of(entry)) {
      const double weight = scale_at(place) * scale_at(place);
      const int64_t first = int64_t{place} % code_.groups * g_;
      for (int64_t a = 0; a < g_; ++a) {
        for (int64_t b = 0; b <= a; ++b) {
          block[a * g_ + b] += weight * static_cast<double>(moment_.at(first + a, first + b));
        }
      }
    }
    factorize_entry(block, g_);
  }

  const AdditiveCode& code_;
  const LayerMoment& moment_;
  Uses uses_;
  int64_t g_;
  std::vector<float>&error_, &product_;
  ThreadPool& threads_;
  std::vector<double> factors_;  // [M 2^B, G, G]
};

}  // namespace

void fit_scales(AdditiveCode& code, std::span<const float> weights_h, std::vector<float>& residual,
                ThreadPool& threads) {
  const int64_t width = code.width();
  threads.parallel_for(code.rows, [&](int64_t row) {
    const float s = code.scales[static_cast<size_t>(row)];
    if (s == 0) return;
    std::vector<float> u(static_cast<size_t>(width)), uh(u.size());
    sum_of_vectors(code, code.codebooks, row, u.data());
    float* r = residual.data() + row * width;
    double first = 0, second = 0;
    for (size_t c = 0; c < u.size(); ++c) {
      uh[c] = (r[c] + weights_h[static_cast<size_t>(row * width) + c]) / s;
      first += static_cast<double>(u[c]) * static_cast<double>(r[c]);
      second += static_cast<double>(u[c]) * static_cast<double>(uh[c]);
    }
    const auto best = static_cast<float>(static_cast<double>(s) - first / second);
    if (!(second > 0) || !(best > 0) || !std::isfinite(best)) return;
    code.scales[static_cast<size_t>(row)] = best;
    for (size_t c = 0; c < u.size(); ++c) r[c] += (best - s) * uh[c];
  });
}

void fit_codebooks(AdditiveCode& code, const LayerMoment& moment, int64_t iterations, std::vector<float>& error,
                   std::vector<float>& residual, ThreadPool& threads) {
  NormalEquations equations(code, moment, error, residual, threads);
  std::vector<double> x(code.codebooks.size()), r, z, p, ap;
  equations.gather(residual, r);
  for (double& value : r) value = -value;
  equations.precondition(r, z);
  p = z;
  double rz = dot(r, z);
  for (int64_t i = 0; i < iterations && rz > 0; ++i) {
    equations.apply(p, ap);
    const double curvature = dot(p, ap);
    if (!(curvature > 0)) break;
    const double step = rz / curvature;
    for (size_t k = 0; k < x.size(); ++k) x[k] += step * p[k], r[k] -= step * ap[k];
    equations.precondition(r, z);
    const double next = dot(r, z);
    for (size_t k = 0; k < p.size(); ++k) p[k] = z[k] + next / rz * p[k];
    rz = next;
  }
  std::vector<float> fitted = code.codebooks;
  for (size_t k = 0; k < x.size(); ++k) fitted[k] += static_cast<float>(x[k]);
  if (std::all_of(fitted.begin(), fitted.end(), [](float v) { return std::isfinite(v); })) code.codebooks = fitted;
}

}  // namespace bitloom
