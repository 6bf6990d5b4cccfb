#include "round/billm/plane_fit.h"

#include <cmath>

namespace bitloom {
namespace {

/// A weighted set of residuals: its mean and its mean absolute deviation.
struct Plane {
  double mu = 0, alpha = 0;
};

/// residual [cols] of the weights for which in(c).
template <typename In>
Plane fit_plane(const RowBlock& row, const std::vector<double>& residual, const In& in) {
  double mass = 0, sum = 0, absolute = 0;
  for (int64_t c = 0; c < row.cols; ++c) {
    if (in(c))
      mass += static_cast<double>(row.h[c]), sum += static_cast<double>(row.h[c]) * residual[static_cast<size_t>(c)];
  }
  if (mass <= 0) return {};
  const double mu = row.zero_mean ? 0 : sum / mass;
  for (int64_t c = 0; c < row.cols; ++c) {
    if (in(c)) absolute += static_cast<double>(row.h[c]) * std::abs(residual[static_cast<size_t>(c)] - mu);
  }
  return {mu, absolute / mass};
}

uint8_t nearest_of(const float* values, int first, int last, float w) {
  int best = first;
  for (int i = first + 1; i <= last; ++i) {
    if (std::abs(w - values[i]) < std::abs(w - values[best])) best = i;
  }
  return static_cast<uint8_t>(best);
}

/// Weighted sums over one code of the columns that are not salient.
struct CodeSums {
  double mass = 0, sum = 0;
};

/// mu and alpha from the means of the minus and the plus side; one that is empty keeps its value.
void refit_group(const CodeSums& minus, const CodeSums& plus, bool zero_mean, float& mu, float& alpha) {
  if (minus.mass <= 0 && plus.mass <= 0) return;
  if (zero_mean) {
    alpha = static_cast<float>((plus.sum - minus.sum) / (plus.mass + minus.mass));
    return;
  }
  const double low = minus.mass > 0 ? minus.sum / minus.mass : static_cast<double>(mu - alpha);
  const double high = plus.mass > 0 ? plus.sum / plus.mass : static_cast<double>(mu + alpha);
  mu = static_cast<float>((low + high) / 2), alpha = static_cast<float>((high - low) / 2);
}

/// Coordinate descent on (mu, alpha_1, alpha_2), from the means of the four codes.
void refit_salient(const CodeSums* sums, bool zero_mean, PlaneLevels& levels) {
  constexpr int kTurns = 4;
  double mu = levels.mu_s, a = levels.alpha_1, b = levels.alpha_2;
  const auto sign = [](int code) { return (code & 1) != 0 ? 1.0 : -1.0; };
  const auto second = [](int code) { return (code & 2) != 0 ? 1.0 : -1.0; };
  double mass = 0;
  for (int code = 0; code < 4; ++code) mass += sums[code].mass;
  if (mass <= 0) return;
  for (int turn = 0; turn < kTurns; ++turn) {
    double left = 0;
    for (int i = 0; i < 4 && !zero_mean; ++i) left += sums[i].sum - sums[i].mass * (sign(i) * a + second(i) * b);
    mu = left / mass;
    double first = 0, other = 0;
    for (int i = 0; i < 4; ++i) first += sign(i) * (sums[i].sum - sums[i].mass * (mu + second(i) * b));
    a = first / mass;
    for (int i = 0; i < 4; ++i) other += second(i) * (sums[i].sum - sums[i].mass * (mu + sign(i) * a));
    b = other / mass;
  }
  levels.mu_s = static_cast<float>(mu), levels.alpha_1 = static_cast<float>(a), levels.alpha_2 = static_cast<float>(b);
}

}  // namespace

PlaneLevels fit_planes(const RowBlock& row, const uint8_t* outer) {
  std::vector<double> residual(row.w, row.w + row.cols);
  const auto salient = [&](int64_t c) { return row.salient[c] != 0; };
  const Plane inner = fit_plane(row, residual, [&](int64_t c) { return !salient(c) && outer[c] == 0; });
  const Plane beyond = fit_plane(row, residual, [&](int64_t c) { return !salient(c) && outer[c] != 0; });
  const Plane first = fit_plane(row, residual, salient);
  for (int64_t c = 0; c < row.cols; ++c) {
    double& r = residual[static_cast<size_t>(c)];
    r -= first.mu;
    r -= r < 0 ? -first.alpha : first.alpha;
  }
  const Plane second = fit_plane(row, residual, salient);
  return {static_cast<float>(inner.mu),     static_cast<float>(inner.alpha),          static_cast<float>(beyond.mu),
          static_cast<float>(beyond.alpha), static_cast<float>(first.mu + second.mu), static_cast<float>(first.alpha),
          static_cast<float>(second.alpha)};
}

void choose_codes(const RowBlock& row, const PlaneLevels& levels, const uint8_t* outer, uint8_t* codes) {
  float values[2][4];
  levels.values(values);
  for (int64_t c = 0; c < row.cols; ++c) {
    if (row.salient[c] != 0) {
      codes[c] = nearest_of(values[1], 0, 3, row.w[c]);
    } else if (outer == nullptr) {
      codes[c] = nearest_of(values[0], 0, 3, row.w[c]);
    } else {
      codes[c] = nearest_of(values[0], outer[c] != 0 ? 2 : 0, outer[c] != 0 ? 3 : 1, row.w[c]);
    }
  }
}

void refit_levels(const RowBlock& row, const uint8_t* codes, PlaneLevels& levels) {
  CodeSums sums[2][4];
  for (int64_t c = 0; c < row.cols; ++c) {
    CodeSums& own = sums[row.salient[c]][codes[c]];
    own.mass += static_cast<double>(row.h[c]);
    own.sum += static_cast<double>(row.h[c]) * static_cast<double>(row.w[c]);
  }
  refit_group(sums[0][0], sums[0][1], row.zero_mean, levels.mu_c, levels.alpha_c);
  refit_group(sums[0][2], sums[0][3], row.zero_mean, levels.mu_o, levels.alpha_o);
  refit_salient(sums[1], row.zero_mean, levels);
}

double plane_error(const RowBlock& row, const PlaneLevels& levels, const uint8_t* codes) {
  float values[2][4];
  levels.values(values);
  double error = 0;
  for (int64_t c = 0; c < row.cols; ++c) {
    const double d = static_cast<double>(row.w[c]) - static_cast<double>(values[row.salient[c]][codes[c]]);
    error += static_cast<double>(row.h[c]) * d * d;
  }
  return error;
}

}  // namespace bitloom
