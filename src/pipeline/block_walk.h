#pragma once
// Walks the calibration sequences through the model block by block, and quantizes each block's matrices on the way:
// the inputs of a site come from everything before it as it was already quantized (or as `order` says).
//
//   for every input of the block, in the order of execution (attention, attention output, mlp, mlp down; those that
//   one producer makes, as those of experts, together):
//     bring all sequences to the sites that read it; gather its statistics; round these sites; exchange their weights
//   bring all sequences to the next block
//
// So a block costs one forward pass (papers' column-wise page, 1.5), and memory is one block's activations plus the
// statistics of one input. Each finished block goes to the journal; blocks that are there already are not computed
// again, only passed through, by the same steps, so the bytes are those of a run that was never interrupted.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/checkpoint.h"
#include "pipeline/block_outcome.h"
#include "pipeline/quantize_model.h"
#include "pipeline/shared_journal.h"
#include "pipeline/walk_cost.h"
#include "recipe/recipe.h"

namespace bitloom {

struct WalkTask {
  std::shared_ptr<const Checkpoint> model;  // with rewrites of the whole model made
  std::map<std::string, RecipeStep> steps;  // by tensor, see resolve()
  std::vector<TransformSites> transforms;   // those that look at data, see resolve_transforms()
  const QuantizeOptions* options = nullptr;
  WalkCost cost;                // for progress
  std::string spill_directory;  // empty: activations stay in memory
};

/// Leaves every block's outcome in the journal. On several ranks each walks its share of the sequences; statistics are
/// summed, rows of a matrix are rounded by different ranks, and every rank goes on with the same weights.
WalkTimes walk_blocks(const WalkTask& task, SharedJournal& journal, Context& context);

}  // namespace bitloom
