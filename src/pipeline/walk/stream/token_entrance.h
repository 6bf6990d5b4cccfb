#pragma once
// Calibration data of a model that reads token ids.

#include <cstdint>
#include <vector>

#include "forward/weights.h"
#include "pipeline/walk/stream/calibration_stream.h"

namespace bitloom {

using TokenSequences = std::vector<std::vector<int32_t>>;

/// Of each sequence.
std::vector<int64_t> lengths_of(const TokenSequences& sequences);

/// The ids of a chunk [batch, length].
std::vector<int32_t> tokens_of(const SequenceChunk& chunk, const TokenSequences& sequences);

/// Embeds the sequences' tokens. It refers to both, and throws as check_tokens() does.
Entrance token_entrance(const Model& model, const TokenSequences& sequences);

}  // namespace bitloom
