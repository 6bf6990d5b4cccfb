#pragma once
// What a block's input is rounded to, where calibration has to find it.

#include <functional>
#include <optional>

#include "observe/input_statistics.h"
#include "pipeline/walk/block/block_state.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// The mean squared gradients of a site's outputs, which its step asks for; empty where it does not.
using OutputImportance = std::function<std::vector<double>(const Site& site, const RecipeStep& step)>;

/// What the rule finds in the input's values; where it is about outputs, in those of the readers' weights as they are
/// now, and as their steps will round them. nullopt where nothing but zeros was seen.
std::optional<ActivationFormat> find_input_format(const ActivationFormat& rule, const WalkTask& task,
                                                  const BlockState& state, int input, const InputStatistics& statistics,
                                                  const OutputImportance& importance, ThreadPool& threads);

}  // namespace bitloom
