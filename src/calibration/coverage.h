#pragma once
// What calibration data exercises. (A site's channels that it never makes active are those where
// ChannelRange::absmax(), observe/channel_range.h, is 0.)

#include <cstdint>
#include <span>
#include <vector>

namespace bitloom {

/// Distinct ids of the sequences / vocab_size, 0 to 1. Ids lie in 0 .. vocab_size - 1.
double vocabulary_share(std::span<const std::vector<int32_t>> sequences, int64_t vocab_size);

}  // namespace bitloom
