#pragma once
// A model whose blocks were quantized with the help of data: the walk over the blocks, and the journal that makes it
// resumable.

#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/journal/journal.h"
#include "pipeline/rounding/finished_matrix.h"
#include "pipeline/task/quantize_task.h"
#include "pipeline/walk/walk_cost.h"

namespace bitloom {

struct BlockTuner;

struct CalibratedModel {
  FinishedMatrices finished;  // what the recipe quantizes in the blocks
  InputFormats activations;   // ranges that the walk found
  TensorEdits rewritten;      // what else the walk changed: norms, biases, matrices that stay unquantized
  std::vector<std::string> remarks;
  WalkTimes times;
  Json source_files;                 // {name: {sha256, bytes}} of the source's weight files
  Json record;                       // the manifest's "calibration": data, order, precision, seed
  std::unique_ptr<Journal> journal;  // to be discarded when the output is complete
};

/// Does the work, or what an unfinished run left of it. Of several ranks only the leading one touches `out` and gets
/// the matrices: the others have no more to do. Error(kUsage) when `out` exists and may not be replaced, when the
/// recipe needs data and there is none, or as Journal says; Error(kFailed) when --mem can never be enough: says the
/// least that would, and when the disk has too little room, for `tuning_disk` bytes of a tuner's too.
/// `tuner`: of blocks, see block_tuner.h; Error(kUsage) where the recipe asks for one and there is none, or it cannot
/// learn from what the run has.
CalibratedModel calibrate(const QuantizeTask& task, const std::string& out, int64_t tuning_disk, Context& context,
                          const BlockTuner* tuner = nullptr);

/// What the walk will take.
WalkCost predict_calibration(const QuantizeTask& task, ThreadPool& threads, const BlockTuner* tuner = nullptr);

}  // namespace bitloom
