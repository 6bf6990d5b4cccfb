#include "kernels/int_dot/round_input.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/vector_clones.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = kInputPadding, kBlocks = kPiece / kInputBlock;

/// q [kPiece] and scales [kBlocks] of x [kPiece], to 8 bits or to 24.
BITLOOM_VECTOR_CLONES void round_piece(const float* x, bool wide, int32_t* q, float* scales) {
  const float greatest = static_cast<float>(wide ? kGreatestInt24 : kGreatestInt8);
  for (int64_t b = 0; b < kBlocks; ++b, x += kInputBlock, q += kInputBlock) {
    float most = 0, total = 0;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < kInputBlock; ++i) most = std::fabs(x[i]) > most ? std::fabs(x[i]) : most;
      // A mean cannot overflow, and Inf and NaN stay visible in it, unlike in a maximum.
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < kInputBlock; ++i) total += std::fabs(x[i]) * 0.03125f;
    const bool finite = total <= std::numeric_limits<float>::max(), zero = most < 0x1p-100f;
    const float scale = most / greatest, inverse = finite && !zero ? greatest / most : 0.0f;
    scales[b] = !finite ? std::numeric_limits<float>::quiet_NaN() : zero ? 0.0f : scale;
    if (inverse == 0.0f) {
      std::memset(q, 0, kInputBlock * sizeof *q);
    } else if (wide) {
#pragma omp simd
      for (int64_t i = 0; i < kInputBlock; ++i) {
        const float value = x[i] * inverse;
        q[i] = static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f));
      }
    } else {
      // |x / scale| <= 127.00002: adding and taking away 1.5 * 2^23 rounds to an integer, ties to even.
      constexpr float kUnit = 12582912.0f;
#pragma omp simd
      for (int64_t i = 0; i < kInputBlock; ++i) q[i] = static_cast<int32_t>((x[i] * inverse + kUnit) - kUnit);
    }
  }
}

/// The digits of q [kPiece]: high (middle, low), kPiece each, and per lane of four their sums.
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
    rest[i] = (q[4 * i] + q[4 * i + 1]) + (q[4 * i + 2] + q[4 * i + 3]) - high[i] * 65536;
  }
}

/// Of 128 columns the even ones, then the odd ones.
BITLOOM_VECTOR_CLONES void part_pairs(const int8_t* from, int8_t* to) {
  for (int64_t i = 0; i < 64; ++i) to[i] = from[2 * i], to[64 + i] = from[2 * i + 1];
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
  }
}

}  // namespace

void round_input(const float* x, int64_t cols, DotInput input, InputOrder order, const RoundedRow& out) {
  const bool wide = input == DotInput::kInt24;
  const int64_t planes = wide ? 3 : 1, lane = lane_columns(order);
  for (int64_t c = 0; c < out.stride; c += kPiece) {
    float padded[kPiece] = {};
    const float* in = x + c;
    if (cols - c < kPiece) in = padded, std::copy(x + c, x + cols, padded);
    int32_t q[kPiece], high[kPiece / 4], rest[kPiece / 4];
    float scales[kBlocks];
    int8_t digits[3 * kPiece];
    round_piece(in, wide, q, scales);
    split_digits(q, wide, digits, high, rest);
    for (int64_t p = 0; p < planes; ++p) {
      place(digits + p * kPiece, order, out.digits + p * out.stride + c);
    }
    const int64_t fours = lane / 4;
    for (int64_t i = 0; i < kPiece / lane; ++i) {
      const int64_t at = c / lane + i;
      out.scales[at] = scales[i * lane / kInputBlock];
      out.high_sums[at] = std::accumulate(high + i * fours, high + (i + 1) * fours, 0);
      out.rest_sums[at] = std::accumulate(rest + i * fours, rest + (i + 1) * fours, 0);
    }
  }
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
