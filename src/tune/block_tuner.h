#pragma once
// A block's codebooks, scales and norms, or a low-rank product that is rounded with each matrix, learned as soon as the
// block is rounded (AQLM, Egiazarian et al. 2024, 2401.06118,
// section 3.4; papers' learned page, 1.5): by learner.h, on the squared error of the stream behind the block,
//
//   mean over tokens t of  |student(x_t) - y_t|^2 / |y_t|^2
//
// x the stream that the quantized prefix gives, y what the float block makes of it, or the float model's. Errors count
// relative to what they are errors of, as the next norm divides by that (the paper's count alike, so that a few tokens
// of huge values decide). Sizes stay, and so do codes, but for those that a product moves:
//
//   W = s Q(w + A B)     of each grid; Q rounds in every step, and gradients go straight through it (latent_grid.h)
//
// which is QLLM's error correction (Liu et al., 2310.08041, section 3.3; the same page, 2.3) with the rounding inside;
// parity=paper learns A, B and norms beside codes that stay, W = Q + A B, and rounds w + A B to nearest afterwards. Its
// error is then that of what was rounded, which nothing bounds. Inputs are read as their formats round them, with their
// channels where they are moved to.
//
// Goals: the same bytes for any number of threads; never worse than it was on what is held out. Memory: streams as
// the walk keeps them, one block in fp32, twice in the backward pass, before it is rounded once more, its activations
// over one batch.
// Non-goals: biases; ranks; formats of attention's operands (they are multiplied as they are); windows of several
// blocks, as QLLM has them. A run that was killed learns the block again that it was at.

#include "pipeline/walk/block/block_tuner.h"

namespace bitloom {

extern const BlockTuner kBlockTuner;

}  // namespace bitloom
