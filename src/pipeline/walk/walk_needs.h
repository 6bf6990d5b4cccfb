#pragma once
// What a recipe wants to know of a block's inputs.

#include "observe/needs.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

struct InputNeeds {
  Needs rounding;  // while the block's matrices are rounded, and their biases corrected
  Needs scaling;   // before: channel scales are found for this input
  Needs moving;    // between: its channels are reassembled
};

InputNeeds needs_of_input(const WalkTask& task, int block, int input);
/// The transform that moves the input's channels, for the sake of a reader; null: none does.
const ReassembleTransform* reassembly_of_input(const WalkTask& task, int block, int input);
/// Whether blocks are tuned to what the float model gives, not to what its block makes of the prefix's output.
bool tunes_to_model(const WalkTask& task);
/// Whether some input needs the float model's activations beside the quantized prefix's.
bool needs_float_stream(const WalkTask& task);

}  // namespace bitloom
