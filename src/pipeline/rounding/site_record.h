#pragma once
// What is recorded of one quantized matrix: in the manifest, the journal and the closing tables.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

struct SiteRecord {
  std::string name, storage;
  std::string search;  // how scales were found, as round/target.h spells it: "-mse"
  int64_t rows = 0, cols = 0;
  double bits_nominal = 0, bits_true = 0, weight_error = 0, max_abs_error = 0;
  int64_t saturated = 0, zero_groups = 0;
  int64_t bytes = 0;
  std::string rounding;     // "nearest", "gptq:act-order"; of a matrix taken over: ""
  bool taken_over = false;  // from a quantized source, its values unchanged: no errors to measure
  // Known where the recipe looked at data.
  std::optional<double> output_error;  // as in RoundReport
  std::optional<double> predicted_kl;  // likewise
  std::optional<double> damping;       // of the second moment, as raised where it had to be
  std::optional<double> held_drift;    // as in round/report.h
  // Error feedback: largest compensated weight over the largest weight; above 10 the damping is too small.
  std::optional<double> compensation_ratio;
  // Learned rounding: codes that differ from nearest rounding's, and rows for which nearest rounding did better.
  std::optional<int64_t> flipped, rows_kept;
  int64_t tokens = 0, dropped_tokens = 0, dead_channels = 0;
};

/// The manifest's entry; the name is its key there.
Json to_json(const SiteRecord& site);
/// All of them, each with its "name".
Json to_json(const std::vector<SiteRecord>& sites);
/// Reads back what to_json() made, and its "name".
SiteRecord site_from_json(const Json& json);

}  // namespace bitloom
