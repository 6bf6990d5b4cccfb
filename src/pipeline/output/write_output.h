#pragma once

#include <string>

#include "base/context.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/output/quantize_result.h"
#include "pipeline/task/quantize_task.h"

namespace bitloom {

/// Plans every tensor, rounds what needs no data, and writes OUT, which appears complete or not at all. `calibrated` is
/// what the walk made of the model; null when the recipe needs no data.
QuantizeResult write_output(const QuantizeTask& task, const CalibratedModel* calibrated, const std::string& out,
                            Context& context);

}  // namespace bitloom
