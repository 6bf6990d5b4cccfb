#pragma once
// How numbers are distributed: a density by its moments below x, from which errors of rounding are exact sums
// (papers' floating-point page, 7.4).

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

/// Integrals of t^k p(t) over t <= x for k = 0, 1, 2.
struct Moments {
  double mass = 0, mean = 0, square = 0;
};

struct Density {
  std::string name;
  double limit = 1;  // |t| <= limit; the tails beyond are clipped to it, as the papers do
  std::function<Moments(double x)> below;
};

/// N(0, 1), clipped at 10.
Density gaussian_density();
/// U[-1, 1].
Density uniform_density();
/// Student's t of `freedom` > 2 degrees of freedom (below, the variance is infinite), clipped at 100.
Density student_density(double freedom);
/// 0.99 N(0, 1) + 0.01 N(0, 10^2), clipped at 100: a model of activations with outliers.
Density outlier_density();
/// Each value as likely as any other. At least one; all finite, not all zero.
Density values_density(std::string name, std::vector<float> values);

/// "gaussian", "uniform", "student-t:NU", "outliers"; nullopt for any other text. Error(kUsage) for a NU that is no
/// number from 2.001 to 1000: closer to 2, where the variance is infinite, its closed form is a difference of numbers
/// that are nearly equal.
std::optional<Density> find_density(std::string_view text);
/// The spellings, for messages.
std::string density_spellings();

/// P(T <= x) of Student's t with `freedom` > 0 degrees of freedom.
double student_cdf(double x, double freedom);

}  // namespace bitloom
