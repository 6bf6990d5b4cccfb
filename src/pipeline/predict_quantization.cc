#include "pipeline/predict_quantization.h"

#include <algorithm>

#include "pipeline/calibrated_model.h"
#include "pipeline/cost_model.h"
#include "pipeline/plan.h"
#include "pipeline/rewrite_model.h"

namespace bitloom {
namespace {

RoundingCost rounding_cost(const PlannedTensor& tensor, int threads) {
  const RoundingShape shape{tensor.rows->rows(), tensor.rows->cols(),
                            tensor.step ? *tensor.step->quantize : *tensor.exact, Needs{}, threads};
  return cost_of(tensor.step ? tensor.step->rounding : Rounding(), shape);
}

/// Rounding without data holds one matrix's codes and some decoded rows per thread.
int64_t rounding_memory(const std::vector<PlannedTensor>& plan, int threads) {
  int64_t largest = 0;
  for (const PlannedTensor& tensor : plan) {
    if (!tensor.is_rounded()) continue;
    largest = std::max(largest, tensor.bytes() + tensor.source_bytes + rounding_cost(tensor, threads).bytes);
  }
  return private_resident_bytes() + largest + int64_t{threads} * (int64_t{1} << 20);
}

}  // namespace

QuantizeCost predict_quantization(const std::shared_ptr<const Checkpoint>& source, const Recipe& recipe,
                                  const QuantizeOptions& options, Context& context) {
  const std::shared_ptr<const Checkpoint> model = rewrite_model(source, recipe, options.seed, context.threads);
  const auto steps = resolve(recipe, model->graph());
  const std::vector<PlannedTensor> plan = plan_tensors(*model, steps, context);
  QuantizeCost cost;
  double weights = 0;  // in units of nearest rounding
  for (const PlannedTensor& tensor : plan) {
    cost.output_bytes += tensor.bytes();
    if (!tensor.is_rounded()) continue;
    weights += rounding_cost(tensor, context.threads.thread_count()).nearest;
  }
  cost.memory = rounding_memory(plan, context.threads.thread_count());
  cost.disk = disk_needed(plan, source->companion_files());
  if (!needs_of(recipe).any()) {
    cost.seconds = weights / measure_rates(context.threads).rounding;
    return cost;
  }
  cost.walk = predict_calibration(model, recipe, options, context.threads);
  cost.memory = std::max(cost.memory, cost.walk.peak_memory);
  cost.disk += cost.walk.disk_bytes;
  cost.seconds = cost.walk.seconds;
  return cost;
}

}  // namespace bitloom
