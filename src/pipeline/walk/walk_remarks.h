#pragma once
// What a user should know of a calibrated recipe's effect on this model before it runs.

#include <string>
#include <vector>

#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// One line for every transform that can be made for some of its sites only: inputs that no scale can be taken from,
/// layers without a bias to correct; and where error feedback cannot have the scales of groups that it would have.
/// Error(kUsage) for a bias correction that finds no bias at all.
std::vector<std::string> remarks_on_recipe(const WalkTask& task);

}  // namespace bitloom
