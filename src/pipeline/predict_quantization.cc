#include "pipeline/predict_quantization.h"

#include <algorithm>

#include "pipeline/calibrated_model.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/output/growth.h"
#include "pipeline/output/plan.h"

namespace bitloom {
namespace {

/// What rounding a tensor without data takes.
struct Effort {
  double time = 0;  // in units of rounding one weight to nearest
  int64_t memory = 0;
};

struct EffortVisitor {
  const PlannedTensor& tensor;

  Effort operator()(const RoundByStep& round) const { return effort(round.step.rounding, *round.step.quantize); }
  Effort operator()(const HoldExactly& hold) const { return effort(Rounding(), hold.target); }
  template <typename Other>
  Effort operator()(const Other&) const {
    return {};
  }

 private:
  Effort effort(const Rounding& rounding, const RoundingTarget& target) const {
    const RoundingCost cost = cost_of(rounding, {tensor.rows->rows(), tensor.rows->cols(), target, Needs{}});
    return {cost.nearest, tensor.bytes() + tensor.source_bytes + cost.bytes};
  }
};

/// One tensor after the other, and some decoded rows per thread.
Effort effort_of(const std::vector<PlannedTensor>& plan, int threads) {
  Effort all;
  for (const PlannedTensor& tensor : plan) {
    const Effort effort = std::visit(EffortVisitor{tensor}, tensor.treatment);
    all.time += effort.time;
    all.memory = std::max(all.memory, effort.memory);
  }
  all.memory += private_resident_bytes() + int64_t{threads} * (int64_t{1} << 20);
  return all;
}

}  // namespace

QuantizeCost predict_quantization(const QuantizeTask& task, Context& context, const Tuner* tuner) {
  const std::vector<PlannedTensor> plan = plan_tensors(*task.model, task.steps, {}, context);
  const Effort effort = effort_of(plan, context.threads.thread_count());
  QuantizeCost cost;
  int64_t weights = 0;
  for (const PlannedTensor& tensor : plan) {
    cost.output_bytes += tensor.bytes();
    weights += tensor.weights();
  }
  cost.bits_model = 8 * static_cast<double>(cost.output_bytes) / static_cast<double>(std::max<int64_t>(weights, 1));
  cost.remarks = remarks_on(*task.source, plan);
  if (const std::string growth = growth_remark(*task.source, plan); !growth.empty()) cost.remarks.push_back(growth);
  cost.memory = effort.memory;
  cost.disk = disk_needed(plan, task.source->companion_files());
  if (!needs_of(task.recipe).any()) {
    cost.seconds = effort.time / measure_rates(context.threads).rounding;
    return cost;
  }
  cost.walk = predict_calibration(task, context.threads, tuner != nullptr ? tuner->blocks : nullptr);
  cost.memory = std::max(cost.memory, cost.walk.peak_memory);
  cost.disk += cost.walk.disk_bytes;
  cost.seconds = cost.walk.seconds;
  if (!tunes(task, tuner)) return cost;
  const TuningCost tuning = tuner->cost(task);
  cost.seconds += tuning.flops / measure_rates(context.threads).forward;
  cost.memory = std::max(cost.memory, private_resident_bytes() + tuning.memory);
  cost.disk += tuning.disk;
  return cost;
}

}  // namespace bitloom
