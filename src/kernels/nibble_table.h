#pragma once
// Look-up tables of products: four bits of a matrix's codes choose what some columns add to a row's sum.
//
//   sum over c of w(r, c) x_c = sum over nibbles i of T_i[n(r, i)]
//
// where nibble i of row r holds the codes of one to four columns and T_i, 16 sums of products, is the input's own. A
// word is eight nibbles, four bytes of a row (packing/row_words.h). The tables of a word become integers of 16 or
// 24 bits under a scale that some words share, so that their sums are exact (8 would be too few: sums over columns
// whose sizes differ share a scale; SmolLM2 in 2 bits then lies 1.6 nats from itself):
//
//   T_i[n] = scale q,   q = 2^16 high + 2^8 middle + low, high only in 24 bits, digits in -128..127
//
// Digits lie as byte look-ups want them: of each plane the even nibbles (a byte's low ones), then the odd ones, of each
// four tables of 16 bytes by the byte's place in its lane.
//
// In an unnamed namespace: sources with flags of their own include it (kernels/CMakeLists.txt).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace bitloom {
namespace {

inline constexpr int kWordNibbles = 8;

/// One word's tables as sums, [nibble][16].
struct WordSums {
  alignas(64) float t[kWordNibbles][16];
};

/// One word's tables as digits.
template <int kPlanes>
struct WordDigits {
  alignas(64) int8_t digits[kPlanes][2][4][16];
};

/// Words whose tables may share a scale: sums of so many are within 2^30.
inline constexpr int kMostWords = 8;

/// Digits under a scale, of `words` tables, which are written; the scale is returned. kPlanes is 2 for 16 bits, 3 for
/// 24, to the nearest, where 24 bits may be off by one. NaN where a sum is not finite, 0 where all are below 2^-100.
template <int kPlanes>
inline float round_words(const WordSums* sums, int words, WordDigits<kPlanes>* out) {
  constexpr float kGreatest = kPlanes == 2 ? 127 << 8 : 127 << 16;
  const float* t = &sums->t[0][0];
  const int count = 16 * kWordNibbles * words;
  float most = 0, total = 0;
#pragma omp simd reduction(max : most) reduction(+ : total)
  for (int i = 0; i < count; ++i) {
    const float size = std::fabs(t[i]);
    most = size > most ? size : most;
    total += size * 0x1p-10f;  // a mean cannot overflow, and shows what is not finite
  }
  const bool finite = total <= std::numeric_limits<float>::max(), zero = most < 0x1p-100f;
  const float inverse = finite && !zero ? kGreatest / most : 0.0f;
  for (int i = 0; i < words * kWordNibbles; ++i) {
    const float* values = sums[i / kWordNibbles].t[i % kWordNibbles];
    int32_t q[16];
#pragma omp simd
    for (int n = 0; n < 16; ++n) {
      const float value = finite ? values[n] * inverse : 0.0f;
      q[n] = static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f));
    }
    for (int p = kPlanes - 1; p >= 0; --p) {
      int8_t* digits = out[i / kWordNibbles].digits[p][i % 2][i % kWordNibbles / 2];
#pragma omp simd
      for (int n = 0; n < 16; ++n) {
        const auto digit = static_cast<int8_t>(q[n]);
        digits[n] = digit, q[n] = (q[n] - digit) >> 8;
      }
    }
  }
  return !finite ? std::numeric_limits<float>::quiet_NaN() : zero ? 0.0f : most / kGreatest;
}

/// t [16] of two columns of two bits: a [4] by the low ones, b [4] by the high ones.
inline void sums_of_pair(const float* a, const float* b, float* t) {
  for (int n = 0; n < 16; ++n) t[n] = a[n & 3] + b[n >> 2];
}

/// t [16] of four columns of one bit, each with two values: a and a + step.
inline void sums_of_bits(const float* a, const float* step, float* t) {
  const float low[4] = {0, step[0], step[1], step[0] + step[1]};
  const float base = (a[0] + a[1]) + (a[2] + a[3]);
  const float high[4] = {base, base + step[2], base + step[3], base + (step[2] + step[3])};
  sums_of_pair(low, high, t);
}

}  // namespace
}  // namespace bitloom
