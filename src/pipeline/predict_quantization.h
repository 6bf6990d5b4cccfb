#pragma once
// What quantize_model() would take, before anything is done.

#include <cstdint>
#include <string>
#include <vector>

#include "base/context.h"
#include "pipeline/task/quantize_task.h"
#include "pipeline/tuner.h"
#include "pipeline/walk/walk_cost.h"

namespace bitloom {

struct QuantizeCost {
  int64_t output_bytes = 0, memory = 0, disk = 0;  // memory and disk at their peaks
  double seconds = 0;
  double bits_model = 0;             // output_bytes per weight of the model
  std::vector<std::string> remarks;  // what the run would say of its output
  WalkCost walk;                     // of a recipe that looks at data
};
/// `tuner`: see tunes().
QuantizeCost predict_quantization(const QuantizeTask& task, Context& context, const Tuner* tuner = nullptr);

}  // namespace bitloom
