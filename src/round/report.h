#pragma once
// What rounding one matrix did, for tables, pages and manifests: what every method can tell, and what some can.

//
// All errors are of the weights and outputs as they were: what a method does on purpose, to make up for the inputs' own
// error, counts too.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitloom {

struct RoundReport {
  double weight_error = 0;  // sum (w - q)^2 / sum w^2
  int64_t saturated = 0;    // weights beyond the outermost level by more than half a step
  int64_t zero_groups = 0;  // groups that hold only zeros
  double max_abs_error = 0;
  // Mean over tokens of |(W - Q) x|^2, over that of |W x|^2, of at most 2048 evenly spaced rows; where the inputs'
  // second moment was gathered.
  std::optional<double> output_error = {};
  // Nats per token that the error is expected to cost (predicted_kl/predicted_kl.h); where gradients were gathered.
  std::optional<double> predicted_kl = {};
  std::optional<double> damping = {};  // of the second moment, as raised where it had to be
  // Of the correction for the inputs' own error the share that held for tokens that it was not made from (round/drift).
  std::optional<double> held_drift = {};
  // Error feedback: largest compensated weight over the largest weight; above 10 the damping is too small.
  std::optional<double> compensation_ratio = {};
  // Learned rounding: codes that differ from nearest rounding's, and rows for which nearest rounding did better.
  std::optional<int64_t> flipped = {}, rows_kept = {};
  std::vector<std::string> remarks =
      {};  // what the user should know of this matrix: "damping 0.05 instead of 0.01, ..."
  bool operator==(const RoundReport&) const = default;
};

}  // namespace bitloom
