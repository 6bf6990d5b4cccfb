#pragma once
// What the layers of a block read while calibration looks at them.

#include <string>

namespace bitloom {

/// What the sites of a block read while their statistics are gathered.
enum class WalkOrder {
  kSequential,  // everything before them already quantized, sites of the same block included: one pass per block
  kBlock,       // earlier blocks quantized, their own block as it was: two passes per block
  kNone,        // the float model's activations
};

/// "sequential", "block", "none".
std::string to_string(WalkOrder order);
/// Error(kUsage) for any other name.
WalkOrder parse_walk_order(const std::string& text);

}  // namespace bitloom
