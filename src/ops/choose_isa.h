#pragma once
// Which instruction set the kernels run in.

#include "base/simd/cpu_features.h"

namespace bitloom {

/// The best this machine has, or what `name` says where it is not empty. Error(kUsage) naming the allowed ones when it
/// is none, or none of this machine's.
Isa choose_isa(const char* name);

/// choose_isa of the environment's BITLOOM_ISA.
Isa isa_from_environment();

}  // namespace bitloom
