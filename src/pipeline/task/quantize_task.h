#pragma once
// One run: what is quantized, and how. Made once, handed on to all that have a part in it.

#include <map>
#include <memory>
#include <string>

#include "base/threads.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/task/quantize_options.h"
#include "recipe/recipe.h"

namespace bitloom {

struct QuantizeTask {
  std::shared_ptr<const Checkpoint> source;
  std::shared_ptr<const Checkpoint> model;  // the source after rewrites that need no data
  Recipe recipe;
  std::map<std::string, RecipeStep> steps;  // by tensor: the recipe, resolved against the model, formats fitted to it
  InputFormats activations;                 // what the inputs of the blocks will be rounded to
  OperandFormats operands;                  // what their attention's operands will be
  QuantizeOptions options;
};

/// Error(kUsage) for a recipe that does not fit the model.
QuantizeTask make_task(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                       ThreadPool& threads);

}  // namespace bitloom
