#include "pipeline/task/quantize_task.h"

#include <utility>

#include "format/families/vector/vector_storage.h"
#include "pipeline/task/rewrite_model.h"

namespace bitloom {
namespace {

/// Nothing is begun that would store a matrix in more than it takes as it is.
void check_sizes(const QuantizeTask& task) {
  for (const auto& [name, step] : task.steps) {
    const auto* vector = step.quantize->storage.base.get_if<VectorStorage>();
    if (vector == nullptr) continue;
    const RowSourcePtr rows = task.model->tensor(name).rows;
    check_worthwhile(name, *vector, rows->rows(), rows->cols());
  }
}

}  // namespace

QuantizeTask make_task(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                       ThreadPool& threads) {
  QuantizeTask task;
  task.model = rewrite_model(source, recipe, options.seed, threads);
  task.source = std::move(source);
  task.recipe = recipe;
  task.steps = resolve(recipe, task.model->graph());
  task.activations = resolve_activations(recipe, task.steps, task.model->graph());
  task.options = options;
  check_sizes(task);
  return task;
}

}  // namespace bitloom
