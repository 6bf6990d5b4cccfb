#pragma once
// Moments that know the loss (observe/moment/guided_moments.h), of every linear layer of the blocks that a rounding
// wants them of: one pass forward and one backward through the float model, before any block is rounded.
//
//   for every block: keep the streams before it, bring all sequences to the next
//   loss = cross entropy against labels drawn from the model (papers' beyond page, 2.3)
//   for every block, the last first: compute it again, differentiate it, add up its layers' moments, keep them in files
//
// So memory is the moments and activations of one block, and of all blocks the streams before them, in memory or in a
// file: (blocks + 1) * tokens * hidden. A label depends on the seed and the token's place among all only.

#include <optional>
#include <string>

#include "base/context.h"
#include "observe/moment/guided_moments.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// Where the layers' moments lie: beside kept statistics, DIR/block-0003.layer.q.safetensors.
void keep_moments(const std::string& directory, int block, const std::string& role, const GuidedMoments& moments);
/// Error(kRefused) naming the file, as load_statistics.
GuidedMoments load_moments(const std::string& directory, int block, const Linear& linear, const Needs& needs);

/// What rounding this tensor wants to know of its gradients alone; nothing: no such step.
Needs gradient_needs(const WalkTask& task, const std::string& tensor);
bool needs_gradients(const WalkTask& task);

/// Leaves the moments of all ranks' sequences in the directory. Error(kFailed) naming the tensor where every gradient
/// is 0 or none is finite.
void gather_moments(const WalkTask& task, const std::string& directory, Context& context);

}  // namespace bitloom
