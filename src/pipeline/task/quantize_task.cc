#include "pipeline/task/quantize_task.h"

#include <utility>

#include "base/error.h"
#include "format/families/vector/block_vectors.h"
#include "format/families/vector/vector_storage.h"
#include "pipeline/task/fit_formats.h"
#include "pipeline/task/rewrite_model.h"
#include "recipe/parts.h"

namespace bitloom {
namespace {

/// Nothing is begun that would store a matrix in more than it takes as it is.
void check_sizes(const QuantizeTask& task) {
  for (const auto& [name, step] : task.steps) {
    const BaseStorage& base = step.quantize->storage.base;
    const auto check = [&](const auto* vectors) {
      if (vectors == nullptr) return;
      const RowSourcePtr rows = task.model->tensor(name).rows;
      check_worthwhile(name, *vectors, rows->rows(), rows->cols());
    };
    check(base.get_if<VectorStorage>());
    check(base.get_if<BlockVectorStorage>());
  }
}

bool changes_inputs(const Transform& transform) { return stage_of(transform) < PartStage::kRounding; }

/// Ranges that the source's inputs have were found in what its matrices read, and say nothing of what transforms make
/// of that. A rotation counts for every input of the blocks, a scaling for those of its targets.
void check_fixed_ranges(const QuantizeTask& task) {
  const Graph& graph = task.source->graph();
  const std::vector<TransformSites> transforms = resolve_transforms(task.recipe, graph);
  for (const Site& site : linear_sites(graph)) {
    const std::optional<ActivationFormat>& format = site.reads->activations;
    const auto step = task.steps.find(site.linear->weight);
    const bool named = step != task.steps.end() && step->second.activations;
    if (!format || format->range.kind != ActivationRange::Kind::kFixed || named) continue;
    for (const TransformSites& sites : transforms) {
      if (!changes_inputs(sites.transform) || !sites.tensors.contains(site.linear->weight)) continue;
      misuse(
          "recipe '{}', step {}: {} changes the input '{}' of block {}, which the source rounds to {}, a range found "
          "before that; name a format of activations, such as {}",
          task.recipe.name, sites.step + 1, to_short(sites.transform), site.reads->name, site.block, to_string(*format),
          to_string(with_dynamic_range(*format)));
    }
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
  task.operands = resolve_operands(recipe, task.model->graph());
  task.options = options;
  check_sizes(task);
  check_fixed_ranges(task);
  fit_formats(*task.model, task.steps, threads);
  return task;
}

}  // namespace bitloom
