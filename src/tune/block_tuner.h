#pragma once
// A block's codebooks, scales and norms, learned as soon as it is rounded (AQLM, Egiazarian et al. 2024, 2401.06118,
// section 3.4; papers' learned page, 1.5): by learner.h, on the squared error of the stream behind the block,
//
//   mean over tokens t of  |student(x_t) - y_t|^2 / |y_t|^2
//
// x the stream that the quantized prefix gives, y what the float block makes of it, or the float model's. Errors count
// relative to what they are errors of, as the next norm divides by that (the paper's count alike, so that a few tokens
// of huge values decide). Codes stay as they are, and so do sizes.
//
// Goals: the same bytes for any number of threads; never worse than it was on what is held out. Memory: streams as
// the walk keeps them, one block in fp32, twice in the backward pass, its activations over one batch.
// Non-goals: codes, biases; ranks; formats of activations (inputs are read as they are). A run that was killed learns
// the block again that it was at.

#include "pipeline/walk/block/block_tuner.h"

namespace bitloom {

extern const BlockTuner kBlockTuner;

}  // namespace bitloom
