#pragma once
// Quantized matrices of other tools in our own storage, when nothing is lost by it.

#include <optional>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "round/target.h"

namespace bitloom {

/// The target that holds the very values of a matrix which another tool quantized: nearest rounding to it gives every
/// one back. nullopt when no such target is known, or when it was tried and a value changes (a block of Q8_0 whose
/// codes do not reach 127) or is not finite. Known: Q8_0, MXFP4. Memory: one matrix's codes.
std::optional<RoundingTarget> lossless_target(const RowSource& w, ThreadPool& threads);

}  // namespace bitloom
