#include "kernels/int_dot/round_input.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = kInputPadding, kBlocks = kPiece / kInputBlock;

/// Scales of x's [kPiece] blocks under `greatest`, or `given`, and what x is multiplied with, both as round_input.h
/// says.
inline void block_scales(const float* x, float greatest, float given, float* scales, float* inverses) {
  if (given != 0) {
    std::fill(scales, scales + kBlocks, given);
    std::fill(inverses, inverses + kBlocks, given == given ? 1 / given : 0.0f);
    return;
  }
  // The bits of magnitudes are in the order of the magnitudes, Inf and NaN above all others.
  int32_t most_bits[kBlocks];
  for (int64_t b = 0; b < kBlocks; ++b) {
    int32_t bits = 0;
#pragma omp simd reduction(max : bits)
    for (int64_t i = 0; i < kInputBlock; ++i) {
      const int32_t magnitude = std::bit_cast<int32_t>(x[b * kInputBlock + i]) & 0x7fffffff;
      bits = magnitude > bits ? magnitude : bits;
    }
    most_bits[b] = bits;
  }
#pragma omp simd
  for (int64_t b = 0; b < kBlocks; ++b) {
    const auto most = std::bit_cast<float>(most_bits[b]);
    const bool finite = most_bits[b] < 0x7f800000, small = most < 0x1p-100f;
    const float inverse = greatest / most, scale = most / greatest;
    inverses[b] = finite && !small ? inverse : 0.0f;
    scales[b] = !finite ? std::numeric_limits<float>::quiet_NaN() : small ? 0.0f : scale;
  }
}

/// |x / scale| <= 127.00002: adding and taking away 1.5 * 2^23 rounds to an integer, ties to even. Times 0 all
/// are 0, Inf and NaN as well.
inline void round_block(const float* x, float inverse, int32_t* q) {
  constexpr float kUnit = 12582912.0f;
#pragma omp simd
  for (int64_t i = 0; i < kInputBlock; ++i) {
    const float value = inverse == 0.0f ? 0.0f : x[i] * inverse;
    q[i] = static_cast<int32_t>((value + kUnit) - kUnit);
  }
}

/// q [kPiece] and scales [kBlocks] of x [kPiece], to 8 bits or to 24.
BITLOOM_VECTOR_CLONES void round_piece(const float* x, bool wide, float given, int32_t* q, float* scales) {
  float inverses[kBlocks];
  block_scales(x, static_cast<float>(wide ? kGreatestInt24 : kGreatestInt8), wide ? 0 : given, scales, inverses);
  for (int64_t b = 0; b < kBlocks; ++b, x += kInputBlock, q += kInputBlock) {
    const float inverse = inverses[b];
    if (!wide || inverse == 0.0f) {
      round_block(x, inverse, q);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < kInputBlock; ++i) {
        const float value = x[i] * inverse;
        q[i] = static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f));
      }
    }
  }
}

/// The digits of q [kPiece]: high (middle, low), kPiece each, and per lane of four their sums; `rest` of wide ones.
BITLOOM_VECTOR_CLONES void split_digits(const int32_t* q, bool wide, int8_t* digits, int32_t* high, int32_t* rest) {
  int32_t top[kPiece];
  for (int64_t i = 0; i < kPiece; ++i) {
    int32_t value = q[i];
    if (wide) {
      const auto low = static_cast<int8_t>(value);
      value = (value - low) >> 8;
      const auto middle = static_cast<int8_t>(value);
      value = (value - middle) >> 8;
      digits[kPiece + i] = middle, digits[2 * kPiece + i] = low;
    }
    digits[i] = static_cast<int8_t>(value), top[i] = value;
  }
  for (int64_t i = 0; i < kPiece / 4; ++i) {
    high[i] = (top[4 * i] + top[4 * i + 1]) + (top[4 * i + 2] + top[4 * i + 3]);
  }
  for (int64_t i = 0; wide && i < kPiece / 4; ++i) {
    rest[i] = (q[4 * i] + q[4 * i + 1]) + (q[4 * i + 2] + q[4 * i + 3]) - high[i] * 65536;
  }
}

/// Of 128 columns the even ones, then the odd ones.
BITLOOM_VECTOR_CLONES void part_pairs(const int8_t* from, int8_t* to) {
  for (int64_t i = 0; i < 64; ++i) to[i] = from[2 * i], to[64 + i] = from[2 * i + 1];
}

/// Of 16 columns those four apart.
BITLOOM_VECTOR_CLONES void part_strides(const int8_t* from, int8_t* to) {
  for (int64_t v = 0; v < 4; ++v) {
    for (int64_t lane = 0; lane < kPiece / 16; ++lane) {
      for (int64_t i = 0; i < 4; ++i) to[(v * 16 + lane) * 4 + i] = from[16 * lane + 4 * i + v];
    }
  }
}

/// Of a piece in the order of columns to where they lie in a plane.
void place(const int8_t* from, InputOrder order, int8_t* to) {
  switch (order) {
    case InputOrder::kNatural:
      std::memcpy(to, from, kPiece);
      return;
    case InputOrder::kNibbles:
      for (int64_t c = 0; c < kPiece; c += 128) part_pairs(from + c, to + c);
      return;
    case InputOrder::kSixteens:
      for (int64_t i = 0; i < kPiece / 4; ++i) std::memcpy(to + (i % 4 * 16 + i / 4) * 4, from + 4 * i, 4);
      return;
    case InputOrder::kStrides:
      part_strides(from, to);
      return;
  }
}

/// Sums of `count` lanes of four each to lanes of their own.
BITLOOM_VECTOR_CLONES void add_fours(const int32_t* fours, int64_t count, int32_t* sums) {
  if (count == 1) {
    for (int64_t i = 0; i < kPiece / 4; ++i) sums[i] = fours[i];
  } else if (count == 2) {
    for (int64_t i = 0; i < kPiece / 8; ++i) sums[i] = fours[2 * i] + fours[2 * i + 1];
  } else {
    for (int64_t i = 0; i < kPiece / 16; ++i) {
      sums[i] = (fours[4 * i] + fours[4 * i + 1]) + (fours[4 * i + 2] + fours[4 * i + 3]);
    }
  }
}

/// Each of scales [kBlocks] to the kLanes lanes of its block.
template <int64_t kLanes>
inline void spread_scales(const float* scales, float* out) {
  for (int64_t i = 0; i < kBlocks * kLanes; ++i) out[i] = scales[i / kLanes];
}

BITLOOM_VECTOR_CLONES void spread_scales(const float* scales, InputOrder order, float* out) {
  switch (lane_columns(order)) {
    case 4:
      return spread_scales<kInputBlock / 4>(scales, out);
    case 8:
      return spread_scales<kInputBlock / 8>(scales, out);
    default:
      return spread_scales<kInputBlock / 16>(scales, out);
  }
}

/// As Int8Piece says.
BITLOOM_VECTOR_CLONES void round_to_int8(const float* x, float given, int8_t* digits, float* scales, int32_t* sums) {
  float inverses[kBlocks];
  block_scales(x, kGreatestInt8, given, scales, inverses);
  for (int64_t b = 0; b < kBlocks; ++b, x += kInputBlock, digits += kInputBlock) {
    int32_t q[kInputBlock], first = 0, second = 0;
    round_block(x, inverses[b], q);
#pragma omp simd reduction(+ : first, second)
    for (int64_t i = 0; i < kInputBlock / 2; ++i) first += q[i], second += q[kInputBlock / 2 + i];
#pragma omp simd
    for (int64_t i = 0; i < kInputBlock; ++i) digits[i] = static_cast<int8_t>(q[i]);
    sums[2 * b] = first, sums[2 * b + 1] = second;
  }
}

}  // namespace

void round_input(const float* x, int64_t cols, DotInput input, InputOrder order, const RoundedRow& out, float scale) {
  const bool wide = input == DotInput::kInt24;
  const int64_t planes = wide ? 3 : 1, lane = lane_columns(order);
  for (int64_t c = 0; c < out.stride; c += kPiece) {
    float padded[kPiece];
    const float* in = x + c;
    if (cols - c < kPiece) {
      std::fill(std::copy(x + c, x + cols, padded), padded + kPiece, 0.0f);
      in = padded;
    }
    int32_t q[kPiece], high[kPiece / 4], rest[kPiece / 4];
    float scales[kBlocks];
    int8_t digits[3 * kPiece];
    round_piece(in, wide, scale, q, scales);
    split_digits(q, wide, digits, high, rest);
    for (int64_t p = 0; p < planes; ++p) {
      place(digits + p * kPiece, order, out.digits + p * out.stride + c);
    }
    spread_scales(scales, order, out.scales + c / lane);
    add_fours(high, lane / 4, out.high_sums + c / lane);
    if (wide) add_fours(rest, lane / 4, out.rest_sums + c / lane);
  }
}

void round_piece_to_int8(const float* x, int64_t cols, Int8Piece& out, float scale) {
  if (cols >= kPiece) return round_to_int8(x, scale, out.digits, out.scales, out.sums);
  float padded[kPiece] = {};
  std::copy(x, x + cols, padded);
  round_to_int8(padded, scale, out.digits, out.scales, out.sums);
}

void sum_groups(const RoundedInput& x, InputOrder order, int64_t t, int64_t cols, int64_t group, float* sums) {
  const int64_t lane = lane_columns(order), first = t * x.stride / lane;
  for (int64_t begin = 0, g = 0; begin < cols; begin += group, ++g) {
    const int64_t end = std::min(begin + group, cols);
    float sum = 0;
    for (int64_t l = first + begin / lane; l < first + (end + lane - 1) / lane; ++l) {
      sum += (static_cast<float>(x.high_sums[l]) * (x.rest_sums == nullptr ? 1.0f : 65536.0f) +
              (x.rest_sums == nullptr ? 0.0f : static_cast<float>(x.rest_sums[l]))) *
             x.scales[l];
    }
    sums[g] = sum;
  }
}

}  // namespace bitloom
