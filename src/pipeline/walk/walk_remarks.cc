#include "pipeline/walk/walk_remarks.h"

#include <fmt/format.h>

#include "base/error.h"
#include "format/families/grid/grid_storage.h"
#include "recipe/parts.h"
#include "round/gptq/gptq_factor.h"
#include "round/lorc/lorc.h"
#include "round/scale/scale_constraint.h"
#include "transform/scaling/channel_scaling.h"

namespace bitloom {
namespace {

/// How many of the things a transform is for it leaves as they are, and the first of them.
struct Left {
  int all = 0, left = 0;
  std::string first;
  void count(bool changed, const std::string& name) {
    ++all;
    if (changed) return;
    if (left++ == 0) first = name;
  }
};

Left unscaled_inputs(const Graph& graph, const TransformSites& sites) {
  const SitePredicate targeted = [&](const Site& site) { return sites.tensors.contains(site.linear->weight); };
  Left inputs;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (const ChannelGroup& group : channel_groups(graph, b)) {
      if (targeted_readers(group, targeted).empty()) continue;
      inputs.count(group.absorbs(), fmt::format("that of block {}, {}", b, group.readers.front().reads->name));
    }
  }
  return inputs;
}

Left layers_without_bias(const WalkTask& task, const TransformSites& sites) {
  Left layers;
  for (const Site& site : linear_sites(task.model->graph())) {
    const std::string& name = site.linear->weight;
    if (sites.tensors.contains(name) && task.steps.contains(name)) layers.count(!site.linear->bias.empty(), name);
  }
  return layers;
}

/// Whether scales of groups are those of compensated weights, where the storage and the search allow it.
bool asks_for_fresh_scales(const Rounding& rounding) {
  if (const auto* lorc = rounding.get_if<LorcRounding>()) return lorc->codes == LorcRounding::Codes::kGptq;
  const auto* gptq = rounding.get_if<GptqRounding>();
  return gptq != nullptr && !gptq->static_groups;
}

/// M2 binds a group's scale to the greatest of its row, which must be known before the first column is rounded.
Left groups_with_bound_scales(const WalkTask& task) {
  Left matrices;
  for (const auto& [name, step] : task.steps) {
    if (!step.quantize || !asks_for_fresh_scales(step.rounding)) continue;
    const auto* grid = step.quantize->storage.base.get_if<GridStorage>();
    if (grid == nullptr || grid->granularity.kind != Granularity::Kind::kGroup) continue;
    matrices.count(!is_m2(step.quantize->search.constraint), name);
  }
  return matrices;
}

}  // namespace

std::vector<std::string> remarks_on_recipe(const WalkTask& task) {
  std::vector<std::string> remarks;
  if (const Left bound = groups_with_bound_scales(task); bound.left > 0) {
    remarks.push_back(
        fmt::format("static-groups for {} matrices, such as '{}': M2 binds scales of groups to the greatest of their "
                    "row, so they are found in the original weights",
                    bound.left, bound.first));
  }
  for (const TransformSites& sites : task.transforms) {
    const std::string name = to_short(sites.transform);
    if (stage_of(sites.transform) == PartStage::kScaling) {
      const Left inputs = unscaled_inputs(task.model->graph(), sites);
      if (inputs.left == 0) continue;
      remarks.push_back(fmt::format(
          "{}: {} of {} inputs stay as they are, such as {}: nothing before them can take a scale back exactly", name,
          inputs.left, inputs.all, inputs.first));
    } else if (std::holds_alternative<BiasCorrectionTransform>(sites.transform)) {
      const Left layers = layers_without_bias(task, sites);
      if (layers.left == layers.all) {
        misuse("'{}' finds no bias in this {} model's quantized layers; leave it out", name,
               task.model->graph().architecture);
      }
      if (layers.left == 0) continue;
      remarks.push_back(fmt::format("{}: {} of {} quantized layers have no bias, such as '{}'", name, layers.left,
                                    layers.all, layers.first));
    }
  }
  return remarks;
}

}  // namespace bitloom
