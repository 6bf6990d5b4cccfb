#include "format/expected_error/density.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

using MomentsBelow = std::function<Moments(double)>;

/// Mass, mean and square of a, of weight s, beside those of b.
Moments add_scaled(const Moments& b, double s, const Moments& a) {
  return {b.mass + s * a.mass, b.mean + s * a.mean, b.square + s * a.square};
}

/// A value of this mass.
Moments point(double mass, double at) { return {mass, mass * at, mass * at * at}; }

/// What lies beyond +-limit moves to +-limit. `below` is of a symmetric density of mass 1.
Density clipped(std::string name, double limit, MomentsBelow below) {
  const Moments tail = below(-limit);
  const Moments moved = add_scaled(point(tail.mass, -limit), -1, tail);
  const auto inside = [=](double x) -> Moments {
    if (x < -limit) return {};
    const Moments m = add_scaled(below(std::min(x, limit)), 1, moved);
    return x < limit ? m : add_scaled(m, 1, point(tail.mass, limit));
  };
  return {std::move(name), limit, inside};
}

/// N(0, sigma^2), z = x / sigma:  mass Phi(z), mean -sigma phi(z), square sigma^2 (Phi(z) - z phi(z)).
Moments normal_below(double x, double sigma) {
  const double z = x / sigma, density = std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi);
  const double mass = 0.5 * std::erfc(-z / std::numbers::sqrt2);
  return {mass, -sigma * density, sigma * sigma * (mass - z * density)};
}

/// 1 / (1 + d1 / (1 + d2 / (1 + ...))) of the incomplete beta function, by Lentz's method (Abramowitz and Stegun,
/// 26.5.8); converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto nonzero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 / nonzero(1 + term * d), c = nonzero(1 + term / c);
      step = c * d, value *= step;
    }
    if (std::abs(step - 1) < 1e-16) break;
  }
  return value;
}

/// The regularized incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/// The factor C of Student's density C (1 + x^2 / nu)^(-(nu + 1) / 2).
double student_factor(double nu) {
  return std::exp(std::lgamma((nu + 1) / 2) - std::lgamma(nu / 2)) / std::sqrt(nu * std::numbers::pi);
}

/// Mean and square by x p(x) being a derivative, and by x^2 = nu (1 + x^2 / nu) - nu, which leaves a Student density
/// of nu - 2 degrees in other units:
///   mean = -C nu / (nu - 1) (1 + x^2 / nu)^(-(nu - 1) / 2),
///   square = nu (r F_{nu-2}(x sqrt((nu - 2) / nu)) - F_nu(x)),  r = C_nu / C_{nu-2} sqrt(nu / (nu - 2)) =
///   (nu-1)/(nu-2).
Moments student_below(double x, double nu) {
  const double mass = student_cdf(x, nu);
  const double mean = -student_factor(nu) * nu / (nu - 1) * std::pow(1 + x * x / nu, -(nu - 1) / 2);
  const double other = student_cdf(x * std::sqrt((nu - 2) / nu), nu - 2);
  return {mass, mean, nu * ((nu - 1) / (nu - 2) * other - mass)};
}

/// Sorted values, and moments before every 64th of them: a look-up adds up at most 64 values.
struct SortedValues {
  static constexpr size_t kStride = 64;
  std::vector<float> values;
  std::vector<Moments> before;

  explicit SortedValues(std::vector<float> unsorted) : values(std::move(unsorted)) {
    std::sort(values.begin(), values.end());
    long double mean = 0, square = 0;  // of up to 2^32 terms
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % kStride == 0)
        before.push_back({static_cast<double>(i), static_cast<double>(mean), static_cast<double>(square)});
      mean += values[i], square += static_cast<long double>(values[i]) * values[i];
    }
  }

  Moments below(double x) const {
    const auto end = static_cast<size_t>(
        std::upper_bound(values.begin(), values.end(), x, [](double a, float b) { return a < b; }) - values.begin());
    const size_t block = std::min(end / kStride, before.size() - 1);
    Moments m = before[block];
    for (size_t i = block * kStride; i < end; ++i) m = add_scaled(m, 1, point(1, values[i]));
    const double share = 1 / static_cast<double>(values.size());
    return {m.mass * share, m.mean * share, m.square * share};
  }
};

}  // namespace

double student_cdf(double x, double nu) {
  const double tail = 0.5 * incomplete_beta(nu / 2, 0.5, nu / (nu + x * x));
  return x < 0 ? tail : 1 - tail;
}

Density gaussian_density() {
  return clipped("gaussian", 10, [](double x) { return normal_below(x, 1); });
}

Density uniform_density() {
  return {"uniform", 1, [](double x) -> Moments {
            const double t = std::clamp(x, -1.0, 1.0);
            return {(t + 1) / 2, (t * t - 1) / 4, (t * t * t + 1) / 6};
          }};
}

Density student_density(double nu) {
  return clipped("student-t:" + fixed_text(nu), 100, [nu](double x) { return student_below(x, nu); });
}

Density outlier_density() {
  return clipped("outliers", 100, [](double x) {
    return add_scaled(add_scaled({}, 0.99, normal_below(x, 1)), 0.01, normal_below(x, 10));
  });
}

Density values_density(std::string name, std::vector<float> values) {
  const auto sorted = std::make_shared<const SortedValues>(std::move(values));
  const double limit = std::max(std::abs(sorted->values.front()), std::abs(sorted->values.back()));
  return {std::move(name), limit, [sorted](double x) { return sorted->below(x); }};
}

std::optional<Density> find_density(std::string_view text) {
  constexpr std::string_view kStudent = "student-t:";
  if (text == "gaussian") return gaussian_density();
  if (text == "uniform") return uniform_density();
  if (text == "outliers") return outlier_density();
  if (!text.starts_with(kStudent)) return std::nullopt;
  const auto nu = parse_number<double>(text.substr(kStudent.size()));
  constexpr double kLeast = 2.001, kMost = 1000;
  if (!nu || !(*nu >= kLeast && *nu <= kMost))
    misuse("{}: degrees of freedom are a number from {} (up to 2 the variance is infinite) to {}", text, kLeast, kMost);
  return student_density(*nu);
}

std::string density_spellings() { return "gaussian, uniform, student-t:NU, outliers"; }

}  // namespace bitloom
