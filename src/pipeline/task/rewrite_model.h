#pragma once
// Rewrites of the whole model that need no data.

#include <cstdint>
#include <memory>

#include "base/threads.h"
#include "model/checkpoint/checkpoint.h"
#include "recipe/recipe.h"

namespace bitloom {

/// The model after the recipe's rewrites that need no data, in their order; the source itself when there are none.
/// Lazily: no tensor is computed before it is read.
std::shared_ptr<const Checkpoint> rewrite_model(std::shared_ptr<const Checkpoint> source, const Recipe& recipe,
                                                uint64_t seed, ThreadPool& threads);

}  // namespace bitloom
