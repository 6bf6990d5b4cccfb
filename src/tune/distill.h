#pragma once
// Scales and norms by distillation (papers' beyond page, 2.6; LLVQ, 2603.11021, trains the same vectors): once every
// block is rounded, the vectors of student.h are learned by Adam on the KL divergence from the original's logits. Codes
// and rotations stay as they are, and so do sizes.
//
// One batch of neighbouring sequences in ten is held out (of fewer than ten, the last). A step is one of the others, in
// an order of its own for each epoch; the rate falls by half a cosine to 0. Four times an epoch the held-out KL is
// measured: what comes of it are the vectors with the least. It ends early when a whole epoch brought none that is
// less, or where a loss or a gradient is not finite.
//
// Goals: the same bytes for any number of threads, and for a run that was killed and goes on (tuning.safetensors in the
// journal). Never worse than it was on what is held out.
// Non-goals: codes, tables, biases; ranks (the leading one does it alone); matrices outside the blocks, which are
// rounded afterwards; formats of activations.

#include "pipeline/tuner.h"

namespace bitloom {

/// Carries out the recipe's "distill". Its check: Error(kUsage) for calibration data of fewer than two batches, which
/// says how many sequences are needed.
extern const Tuner kDistiller;

}  // namespace bitloom
