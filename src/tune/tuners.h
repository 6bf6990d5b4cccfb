#pragma once

#include "pipeline/tuner.h"

namespace bitloom {

/// Carries out "distill" (distill.h).
extern const Tuner kTuner;

}  // namespace bitloom
