#pragma once
// What learns from the calibration sequences, as a value: the pipeline knows no optimiser. tune/ has one.

#include <cstdint>

#include "base/context.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/task/quantize_task.h"

namespace bitloom {

struct TuningCost {
  double flops = 0;    // of products as in a forward pass
  int64_t memory = 0;  // bytes that it holds
  int64_t disk = 0;    // bytes that it keeps beside the finished blocks
};

/// Of the whole model, and of blocks.
struct Tuner {
  /// Before any work. Error(kUsage) where it could not learn from the task's calibration data.
  void (*check)(const QuantizeTask& task);
  TuningCost (*cost)(const QuantizeTask& task);
  /// Exchanges matrices and vectors of the calibrated model for others of the same storages and shapes. Called on the
  /// leading rank, its journal still there.
  void (*tune)(const QuantizeTask& task, CalibratedModel& calibrated, Context& context);
  const BlockTuner* blocks = nullptr;
};

/// Whether a step of the recipe asks for a tuner. Error(kUsage) where that has none, or no sequences to learn from.
bool tunes(const QuantizeTask& task, const Tuner* tuner);

}  // namespace bitloom
