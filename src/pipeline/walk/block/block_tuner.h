#pragma once
// What learns a block's vectors as soon as the block is rounded, as a value: the pipeline knows no optimiser. tune/ has
// one.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/model.h"
#include "pipeline/journal/block_outcome.h"
#include "pipeline/rounding/finished_matrix.h"
#include "pipeline/task/quantize_task.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "recipe/recipe.h"
#include "round/target.h"

namespace bitloom {

/// What a matrix was before it was rounded, [out, in], and what it is rounded onto.
struct Unrounded {
  RowSourcePtr weights;
  RoundingTarget target;
};

/// A block that is rounded, and its activations over the calibration sequences.
struct BlockLesson {
  const Model& model;  // everything else, rewritten as it is
  int block = 0;
  const FinishedMatrices& finished;                // of the block
  const std::map<std::string, Unrounded>& before;  // of those; empty where no correction is learned
  const InputFormats& formats;                     // that its inputs are rounded to
  const std::vector<SequenceChunk>& chunks;
  /// Of a chunk, [rows, hidden] fp32: the stream before the block in the quantized model, and what it is to become.
  std::function<void(int64_t chunk, float*out)> input, target;
};

struct TunedBlock {
  FinishedMatrices matrices;                        // that have other values; of the same storages and shapes
  std::map<std::string, std::vector<float>> norms;  // likewise
  BlockTuningRecord record;
};

/// What it takes.
struct BlockTuningCost {
  double flops = 0;    // of one block, the largest: of products as in a forward pass
  int64_t memory = 0;  // bytes that it holds, besides what the lesson keeps
};

struct BlockTuner {
  /// Before any work. Error(kUsage) where it could not learn from the task's calibration data.
  void (*check)(const QuantizeTask& task);
  BlockTuningCost (*cost)(const QuantizeTask& task);
  /// `advance`: so large a share of the block's work is done.
  TunedBlock (*tune)(const BlockTuningTransform& options, uint64_t seed, const BlockLesson& lesson,
                     const std::function<void(double)>& advance, Context& context);
};

}  // namespace bitloom
