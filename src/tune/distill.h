#pragma once
// Scales and norms by distillation (papers' beyond page, 2.6; LLVQ, 2603.11021, trains the same vectors): once every
// block is rounded, the vectors of learned_weights.h are learned (learner.h) on the KL divergence from the original's
// logits: norms and the scales of frames; with `bases`, codebooks and scales of bases too, which is AQLM's end-to-end
// tuning (2401.06118, appendix A); with `codes`, codes of additive codebooks besides (code_step.h); with `weights`,
// those of grids through rounding (latent_grid.h), which is quantization-aware training. Other codes and rotations stay
// as they are, and so do sizes. The state is tuning.safetensors in the journal.
//
// Non-goals: biases; ranks (the leading one does it alone); matrices outside the blocks, which are rounded
// afterwards; formats of attention's operands. Inputs are read as the recipe's formats of activations round them, and
// gradients go straight through.

#include "pipeline/tuner.h"

namespace bitloom {

// The functions of a Tuner that carry out the recipe's "distill". Its check: Error(kUsage) for calibration data of
// fewer than two batches, which says how many sequences are needed, and for `weights` of a matrix that has no latent
// ones, which it names.
void check_distillation(const QuantizeTask& task);
TuningCost cost_of_distillation(const QuantizeTask& task);
void distill(const QuantizeTask& task, CalibratedModel& calibrated, Context& context);

}  // namespace bitloom
