#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.h"
#include "pipeline/task/quantize_options.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "pipeline/walk/walk_cost.h"
#include "recipe/recipe.h"

namespace bitloom {

struct BlockTuner;

/// What a walk over a model's blocks is to do.
struct WalkTask {
  std::shared_ptr<const Checkpoint> model;  // with rewrites of the whole model made
  std::map<std::string, RecipeStep> steps;  // by tensor, see resolve()
  InputFormats activations;                 // of the quantized model
  OperandFormats operands;                  // of that, too
  std::vector<TransformSites> transforms;   // those that look at data, see resolve_transforms()
  const QuantizeOptions* options = nullptr;
  std::vector<SequenceChunk> chunks;  // of all ranks; none: statistics that were kept are used
  Entrance entrance;                  // of these
  const BlockTuner* tuner = nullptr;  // of blocks, where the recipe tunes them; null: it does not
  BlockTuningTransform tuning;        // how
  WalkCost cost;                      // for progress
  std::string spill_directory;        // empty: activations stay in memory
  std::string moments;                // directory of the layers' moments, where steps need them (walk/guided_walk.h)
};

}  // namespace bitloom
