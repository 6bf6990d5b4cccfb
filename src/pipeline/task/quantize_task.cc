#include "pipeline/task/quantize_task.h"

#include <utility>

#include "pipeline/task/rewrite_model.h"

namespace bitloom {

QuantizeTask make_task(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                       ThreadPool& threads) {
  QuantizeTask task;
  task.model = rewrite_model(source, recipe, options.seed, threads);
  task.source = std::move(source);
  task.recipe = recipe;
  task.steps = resolve(recipe, task.model->graph());
  task.activations = resolve_activations(recipe, task.steps, task.model->graph());
  task.options = options;
  return task;
}

}  // namespace bitloom
