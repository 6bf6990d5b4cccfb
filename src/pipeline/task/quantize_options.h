#pragma once
// How a run quantizes, beside its recipe, and what it learns from.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/ranks.h"
#include "io/json.h"
#include "pipeline/task/activation_precision.h"
#include "pipeline/task/walk_order.h"

namespace bitloom {

/// Token ids to learn from, and the record of where they come from for the manifest.
struct CalibrationData {
  std::vector<std::vector<int32_t>> sequences;
  Json record;
  int64_t tokens() const;
};

struct QuantizeOptions {
  bool force = false;
  int64_t shard_bytes = int64_t{5} << 30;
  // What follows matters to recipes that need data only.
  const CalibrationData* data = nullptr;
  WalkOrder order = WalkOrder::kSequential;
  ActivationPrecision precision = ActivationPrecision::kF32;
  int64_t memory = 0;  // bytes that the run may hold; 0: no limit
  uint64_t seed = 0;
  bool restart = false;        // discard the journal of an unfinished run
  std::string statistics_in;   // directory of statistics to use instead of data
  std::string statistics_out;  // directory to keep the statistics in
  // Who works on it together: all call with the same arguments, the leading one writes.
  std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>();
};

}  // namespace bitloom
