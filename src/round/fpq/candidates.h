#pragma once
// What LLM-FP4's search tries (Liu et al., 2310.16836; floating-point page, 8): formats, clip values and the channels'
// shifts. A real exponent bias b of a format with the integer bias b0 is a scale 2^(b0 - b), so a bias is spoken of as
// the clip value c that it gives, the largest magnitude that can be stored.

#include <cstdint>
#include <span>
#include <vector>

#include "format/families/grid/grid_storage.h"
#include "format/minifloat/minifloat.h"

namespace bitloom {

/// b = b0 + log2(v_max / c), and its inverse; without reserved codes b = 2^E - log2 c + log2(2 - 2^-M) - 1 (page 0.3).
double exponent_bias(const MinifloatFormat& format, double clip);
double clip_of_bias(const MinifloatFormat& format, double bias);

/// eXmY of so many bits without reserved codes, X from 1 to 5, Y >= 0 (E + M + 1 = bits).
std::vector<MinifloatFormat> formats_of_bits(int bits);

/// The storage with one of them in its format's place. A scale type that is not its format's default was named, and
/// stays; else it is the new one's default.
GridStorage with_format(GridStorage storage, const MinifloatFormat& format);

enum class ClipGrid {
  kClip,  // ours: c = r 2^(-i / 12), i = -4 .. 43: the same for every scale of the data
  kBias,  // the paper's: b = b(r) (0.01 + 0.0119 i), i = 0 .. 99; and r itself, which lies between two of them
};
/// Clip values tried for values whose largest magnitude is `range` > 0. Those without a finite positive fp32 are left
/// out.
std::vector<double> clip_candidates(ClipGrid grid, const MinifloatFormat& format, double range);

/// b_c = clamp(round(log2(clip / absmax_c)), 0, 2^X - 1) (page 8.4, equation 15): the power of two that channel c can
/// be raised by. 0 for a channel of zeros.
std::vector<uint8_t> channel_shifts(const MinifloatFormat& format, double clip, std::span<const float> absmax);

}  // namespace bitloom
