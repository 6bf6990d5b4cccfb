#pragma once
// Walks the calibration sequences through the model block by block, and quantizes each block's matrices on the way:
// the inputs of a site come from everything before it as it was already quantized (or as `order` says).
//
//   for every input of the block, in the order of execution (attention, attention output, mlp, mlp down; those that
//   one producer makes, as those of experts, together):
//     bring all sequences to the sites that read it; gather its statistics; find the range that it is rounded in, where
//     that is found beforehand; round these sites; exchange their weights
//   bring all sequences to the next block
//
// So a block costs one forward pass (papers' column-wise page, 1.5), and memory is one block's activations plus the
// statistics of one input. Each finished block goes to the journal; blocks that are there already are not computed
// again, only passed through, by the same steps, so the bytes are those of a run that was never interrupted.

#include "base/context.h"
#include "pipeline/journal/shared_journal.h"
#include "pipeline/walk/walk_cost.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// Leaves every block's outcome in the journal. On several ranks each walks its share of the sequences; statistics are
/// summed, rows of a matrix are rounded by different ranks, and every rank goes on with the same weights.
WalkTimes walk_blocks(const WalkTask& task, SharedJournal& journal, Context& context);

}  // namespace bitloom
