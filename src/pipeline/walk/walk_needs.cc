#include "pipeline/walk/walk_needs.h"

#include "observe/activation_range.h"
#include "recipe/parts.h"

namespace bitloom {

InputNeeds needs_of_input(const WalkTask& task, int block, int input) {
  InputNeeds needs;
  const Producer producer = input_at(task.model->graph(), block, input).producer;
  for (const Site& site : linear_sites(task.model->graph(), block)) {
    // Experts share the scales of the input that their rows are taken from.
    const bool reads = site.input == input, routed = site.reads->producer == Producer::kRouter;
    const bool scaled = routed ? producer == Producer::kMlpNorm : reads;
    if (!scaled && !reads) continue;
    const std::string& name = site.linear->weight;
    for (const TransformSites& transform : task.transforms) {
      if (!transform.tensors.contains(name)) continue;
      const PartRow& row = row_of(part_of(transform.transform));
      if (row.stage == PartStage::kScaling && scaled) needs.scaling |= row.needs;
      if (row.stage == PartStage::kReassembly && reads) needs.moving |= row.needs;
      if (row.stage == PartStage::kAfterwards && reads) needs.rounding |= row.needs;
    }
    if (!reads) continue;
    const auto step = task.steps.find(name);
    if (step == task.steps.end()) continue;
    needs.rounding |= needs_of(step->second.rounding);
  }
  const auto format = task.activations.find({block, input});
  if (format != task.activations.end()) add_range_needs(format->second, needs.rounding);
  // The float model's own activations do not differ from themselves.
  if (task.options->order == WalkOrder::kNone) needs.rounding.cross_moment = needs.rounding.halves = false;
  return needs;
}

const ReassembleTransform* reassembly_of_input(const WalkTask& task, int block, int input) {
  for (const TransformSites& sites : task.transforms) {
    const auto* reassemble = std::get_if<ReassembleTransform>(&sites.transform);
    if (reassemble == nullptr) continue;
    for (const Site& site : linear_sites(task.model->graph(), block)) {
      if (site.input == input && sites.tensors.contains(site.linear->weight)) return reassemble;
    }
  }
  return nullptr;
}

bool tunes_to_model(const WalkTask& task) {
  const bool float_only = task.options->order == WalkOrder::kNone;  // the two are one there
  return task.tuner != nullptr && !float_only && task.tuning.target == BlockTuningTransform::Target::kModel;
}

bool needs_float_stream(const WalkTask& task) {
  if (tunes_to_model(task)) return true;
  const Graph& graph = task.model->graph();
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (int input = 0; input < input_count(graph, b); ++input) {
      if (needs_of_input(task, b, input).rounding.cross_moment) return true;
    }
  }
  return false;
}

}  // namespace bitloom
