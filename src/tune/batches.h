#pragma once
// Token sequences in batches.

#include <cstdint>
#include <vector>

#include "pipeline/walk/stream/token_entrance.h"

namespace bitloom {

/// Neighbouring sequences of equal length, `batch` at most.
std::vector<SequenceChunk> batches_of(const TokenSequences& sequences, int64_t batch);
/// Rows of each.
std::vector<int64_t> rows_in(const std::vector<SequenceChunk>& batches);

}  // namespace bitloom
