#include "tune/tuners.h"

#include "tune/block_tuner.h"
#include "tune/distill.h"

namespace bitloom {

const Tuner kTuner = {check_distillation, cost_of_distillation, distill, &kBlockTuner};

}  // namespace bitloom
