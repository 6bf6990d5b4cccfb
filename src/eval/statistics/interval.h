#pragma once
// 95 % confidence interval of a mean over tokens, when tokens near each other are not independent.
//
// Units are windows when there are at least eight, else blocks of consecutive positions of one window: 64 of them, or
// tokens / 8 where that would leave fewer than eight blocks. With unit means x_i of w_i tokens each,
//   m   = sum w_i x_i / sum w_i
//   var = n / (n - 1) * sum (w_i (x_i - m))^2 / (sum w_i)^2        (ratio estimator; s^2 / n for equal w_i)
//   m +- t_{0.975, n-1} sqrt(var)
// Blocks of one window share context and topic, so an interval over blocks is too narrow rather than too wide.

#include <cstdint>
#include <span>
#include <string>

namespace bitloom {

struct MeanInterval {
  double mean = 0, low = 0, high = 0;
  std::string basis;  // "Student t over 41 windows", "Student t over 16 blocks of 64 positions", "none: ..."
};

/// `values` are the tokens' values in order; window w has `counts[w]` > 0 of them. Sums run in order, so the result is
/// the same for any number of threads. A single unit has no spread: low = high = mean, and `basis` says so.
MeanInterval mean_interval(std::span<const double> values, std::span<const int64_t> counts);

/// t with P(|T| <= t) = 0.95 for Student's distribution with `degrees` >= 1 degrees of freedom.
double student_t95(int64_t degrees);

}  // namespace bitloom
