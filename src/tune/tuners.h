#pragma once

#include "pipeline/tuner.h"

namespace bitloom {

/// Carries out "distill" (distill.h) and "tune-blocks" (block_tuner.h).
extern const Tuner kTuner;

}  // namespace bitloom
