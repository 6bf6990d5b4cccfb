#pragma once
// What a calibrated run will take: memory, disk and time, per block and in all, before it begins.
//
// Memory and disk are counted from shapes, buffer by buffer, as the code allocates them. Time is operations over rates
// that are measured on this machine, here and now, with the very functions that do the work.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/threads.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "pipeline/walk/walk_cost.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// Rates of this machine, on all threads of the pool.
struct MachineRates {
  double forward = 0;   // flops per second of linear layers over long sequences
  double moments = 0;   // of second moments: tokens d (d + 1) per call
  double factor = 0;    // of factoring and inverting: 4/3 d^3
  double feedback = 0;  // of the column loop: rows d^2
  double rounding = 0;  // weights per second of rounding to nearest
};
/// On a layer of `width` channels and as many tokens.
MachineRates measure_rates(ThreadPool& threads, int64_t width = 1024);

/// Bytes of this process that are in memory now, mapped files left out.
int64_t private_resident_bytes();

/// With options->memory set, activations go to a file when they must. Nothing is refused here.
WalkCost predict_walk(const WalkTask& task, const std::vector<SequenceChunk>& chunks, const MachineRates& rates,
                      ThreadPool& threads);
/// With rates measured here, as wide and as long as the walk is worth it.
WalkCost predict_walk(const WalkTask& task, const std::vector<SequenceChunk>& chunks, ThreadPool& threads);

}  // namespace bitloom
