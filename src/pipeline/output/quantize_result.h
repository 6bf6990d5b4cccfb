#pragma once
// What a run came to: every quantized matrix, bits and bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "pipeline/rounding/site_record.h"
#include "pipeline/walk/walk_cost.h"

namespace bitloom {

struct QuantizeResult {
  std::vector<SiteRecord> sites;
  // Bits per weight of the blocks' linear layers, kept ones as they are stored. `bytes` is the size of the weight
  // files, `bytes_before` the source's.
  double bits_nominal = 0, bits_true = 0;
  // Over all weights of the model: what its tensors store, and `bytes`, which headers add to.
  double bits_true_model = 0, bits_model = 0;
  int64_t block_weights = 0, weights = 0;  // of the blocks' linear layers; of the model
  int64_t bytes = 0, bytes_before = 0;
  std::vector<std::string> remarks;  // what the user should know, logged as it was found
  std::string growth;                // one of them: see growth.h
  double seconds = 0;            // of this process, not of what it resumed
  double processor_seconds = 0;  // of this process's threads, and of those before it for blocks that it resumed
  std::optional<WalkTimes> times;
};

Json to_json(const QuantizeResult& result);

/// One sentence on matrices of which next to nothing is left: a relative squared error of at least kLostError; "" where
/// there is none.
inline constexpr double kLostError = 0.9;
std::string lost_remark(const std::vector<SiteRecord>& sites);

}  // namespace bitloom
