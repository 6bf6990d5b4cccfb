#pragma once
// Rewrites that look at data before a block is rounded: channel scales for the inputs of its sites.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "model/checkpoint/checkpoint.h"
#include "observe/input_statistics.h"
#include "recipe/recipe.h"
#include "transform/scaling/scale_search.h"

namespace bitloom {

/// Q of searches before rounding: to nearest, by the format that `steps` gives each matrix; one that they do not name
/// stays. `steps` and `threads` must outlive it.
RoundedWeights nearest_by(const std::map<std::string, RecipeStep>& steps, ThreadPool& threads);

/// The block's tensors after the transforms, in their order. `statistics` are of the block's inputs as `model` makes
/// them; a transform sees what earlier ones made of the weights, and no input is scaled twice (recipes refuse it). What
/// "awq" calls rounding is nearest rounding to the format that `steps` gives each matrix.
TensorEdits scale_block(std::shared_ptr<const Checkpoint> model, int block,
                        const std::vector<TransformSites>& transforms, const std::map<std::string, RecipeStep>& steps,
                        const std::map<int, InputStatistics>& statistics, ThreadPool& threads);

}  // namespace bitloom
