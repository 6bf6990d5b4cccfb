#include "pipeline/task/quantize_task.h"

#include <fmt/format.h>

#include <map>
#include <string>
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

/// Of a model whose channels were moved nothing else can be made: transforms know channels by their places, and weights
/// that are kept would read inputs that are not moved.
void refuse_moved_channels(const QuantizeTask& task) {
  const Graph& graph = task.source->graph();
  for (const Site& site : linear_sites(graph)) {
    const std::optional<ActivationFormat>& format = site.reads->activations;
    if (!format || format->moves.empty()) continue;
    refuse("{}: '{}' reads channels that were split and merged; quantize the model that it was made of",
           task.source->path(), site.linear->weight);
  }
}

/// Channels are moved as inputs are rounded, by scales that are found in what was moved; each matrix that reads the
/// input, named or not, is rewritten for it, and so reads no other.
void check_reassembly(const QuantizeTask& task) {
  const Graph& graph = task.model->graph();
  std::map<std::string, int> uses;
  for (const Site& site : linear_sites(graph)) ++uses[site.linear->weight];
  for (const TransformSites& sites : resolve_transforms(task.recipe, graph)) {
    if (!std::holds_alternative<ReassembleTransform>(sites.transform)) continue;
    for (const Site& site : linear_sites(graph)) {
      if (!sites.tensors.contains(site.linear->weight)) continue;
      const auto format = task.activations.find({site.block, site.input});
      const std::string place = fmt::format("recipe '{}', step {}: '{}' is for '{}'", task.recipe.name, sites.step + 1,
                                            to_short(sites.transform), site.linear->weight);
      if (format == task.activations.end()) {
        misuse("{}, whose input is not rounded; give it activations, such as int4-asym-token, or name targets", place);
      }
      const ActivationFormat& of_input = format->second;
      const bool of_all_tokens = of_input.granularity == ActivationFormat::Granularity::kTensor;
      if (of_all_tokens || of_input.range.kind != ActivationRange::Kind::kDynamic || of_input.rotation != 0) {
        misuse(
            "{}, whose input is rounded to {}; channels are moved where tokens have ranges of their own and nothing "
            "is rotated, such as int4-asym-token",
            place, to_string(of_input));
      }
      for (const Site& reader : linear_sites(graph, site.block)) {
        const int layers = uses.at(reader.linear->weight);
        if (reader.input != site.input || layers == 1) continue;
        misuse("{}, whose input '{}' reads, which {} layers share", place, reader.linear->weight, layers);
      }
    }
  }
}

}  // namespace

QuantizeTask make_task(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                       ThreadPool& threads) {
  QuantizeTask task;
  task.model = rewrite_model(source, recipe, options.seed, threads);
  task.source = std::move(source);
  refuse_moved_channels(task);
  task.recipe = recipe;
  task.steps = resolve(recipe, task.model->graph());
  task.activations = resolve_activations(recipe, task.steps, task.model->graph());
  task.operands = resolve_operands(recipe, task.model->graph());
  task.options = options;
  check_sizes(task);
  check_fixed_ranges(task);
  check_reassembly(task);
  fit_formats(*task.model, task.steps, threads);
  return task;
}

}  // namespace bitloom
