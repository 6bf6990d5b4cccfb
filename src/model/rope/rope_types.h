#pragma once
// The frequency formulas of each rotary type. One row per type.

#include <span>
#include <string_view>

#include "model/config_reader.h"
#include "model/graph.h"

namespace bitloom {

/// What every type needs. `dim` channels are rotated; ceil(dim / 2) frequencies.
struct RopeBase {
  double theta = 10000.0;
  int64_t dim = 0;
  int64_t max_positions = 0;       // max_position_embeddings
  int64_t original_positions = 0;  // original_max_position_embeddings
};

struct RopeType {
  std::string_view name;  // "llama3"
  Rope (*build)(const RopeBase& base, const ConfigReader& settings);
};

/// The first is "default": plain frequencies.
std::span<const RopeType> rope_types();

}  // namespace bitloom
