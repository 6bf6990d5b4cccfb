#pragma once
// Formats that a recipe leaves open ("pow4", "table4[role]"; format/table/fitted_table.h), fitted to the weights of the
// matrices that share them.

#include <map>
#include <string>

#include "base/threads.h"
#include "model/checkpoint/checkpoint.h"
#include "recipe/recipe.h"

namespace bitloom {

/// Replaces them in `steps` (by tensor, see resolve()). Those that share a fit have the same target and, for [role],
/// the same role, all experts of a block and of a model among them. The weights are `model`'s: what is made of them
/// with the help of data comes later and does not count.
void fit_formats(const Checkpoint& model, std::map<std::string, RecipeStep>& steps, ThreadPool& threads);

}  // namespace bitloom
