#pragma once
// What a calibrated run is expected to take, as pipeline/cost/cost_model.h predicts it, and where its time went.

#include <cstdint>
#include <map>
#include <vector>

#include "pipeline/task/walk_order.h"

namespace bitloom {

/// Seconds of one block's parts.
struct BlockCost {
  std::map<int, double> gather, round;  // up to the input, its statistics included; its sites
  double scale = 0, move = 0;           // rewrites before: scales, channels
  double leave = 0;                     // from the last input to the next block
  double tune = 0;
  int64_t peak_memory = 0;  // bytes above what is held all the time
  double seconds() const;
};

struct WalkCost {
  std::vector<BlockCost> blocks;
  int64_t held_memory = 0;                    // bytes: program, buffers of a pass, activations that are not in a file
  int64_t activation_bytes = 0;               // of all streams
  bool spills = false;                        // activations go to a file
  int64_t peak_memory = 0, least_memory = 0;  // as it will be; with activations in a file
  int64_t disk_bytes = 0;                     // journal and spilled activations; the output comes on top
  double seconds = 0;

  /// Of a run that goes on after `finished` blocks, which are only passed through.
  double seconds_after(int finished, WalkOrder order) const;
};

/// Where the time of a calibrated run went, in seconds. A resumed one counts what it did itself.
struct WalkTimes {
  double forward = 0, statistics = 0, scaling = 0, rounding = 0, tuning = 0;
  int64_t tokens = 0;
};

}  // namespace bitloom
