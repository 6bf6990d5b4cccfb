#pragma once
// Scales and zero points of rows, widened to fp32, for the x86 kernels: everything is in an unnamed namespace, as in
// x86_loops.h.

#include <algorithm>
#include <cstring>

#include "kernels/bit_lanes.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

constexpr int64_t kSegmentGroups = 256;  // whose scales are widened at a time

/// Where a row of W lies.
struct Row {
  const std::byte* codes;
  const std::byte* scales;
  const std::byte* zeros;
  const std::byte* second;
};

inline Row row_of(const IntRows& w, int64_t r) {
  const int64_t row = w.order == nullptr ? r : w.order[r];
  const int64_t shared = w.group_rows == 1 ? row : row / w.group_rows;  // a division takes as long as a chunk
  return {w.codes + row * w.row_bytes, w.scales + shared * w.scale_row_bytes,
          w.zeros == nullptr ? nullptr : w.zeros + shared * w.zero_row_bytes,
          w.second.bits == 0 ? nullptr : w.second.numbers + shared / w.second.rows * w.second.row_bytes};
}

/// Eight scales at p.
inline __m256 widen8(ScaleKind kind, const std::byte* p) {
  const auto* at = reinterpret_cast<const __m128i*>(p);
  switch (kind) {
    case ScaleKind::kF32:
      return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    case ScaleKind::kF16:
      return _mm256_cvtph_ps(_mm_loadu_si128(at));
    case ScaleKind::kBF16:
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at)), 16));
    case ScaleKind::kE8M0: {  // 2^-127 is subnormal
      const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(at));
      return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(1 << 22)));
    }
    case ScaleKind::kE4M3: {  // as a half, whose exponents are 8 greater; scales have no sign
      const __m128i half = _mm_slli_epi16(_mm_cvtepu8_epi16(_mm_loadl_epi64(at)), 7);
      return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256));
    }
    case ScaleKind::kSecond:  // see RealScales::widen()
      break;
  }
  return _mm256_setzero_ps();
}

/// Scales [first, first + count) of a row -> out, and 16 zeros after them.
[[gnu::noinline]] inline void widen_scales(const IntRows& w, const Row& row, int64_t first, int64_t count, float* out) {
  const int64_t size = scale_bytes(w.scale_kind);
  const std::byte* p = row.scales + first * size;
  const std::byte* end = w.scales + w.scale_rows * w.scale_row_bytes;
  int64_t i = 0;
  for (; i < count && end - p >= 8 * size; i += 8, p += 8 * size) _mm256_storeu_ps(out + i, widen8(w.scale_kind, p));
  if (i < count) {
    std::byte few[32] = {};
    std::memcpy(few, p, static_cast<size_t>(end - p));
    _mm256_storeu_ps(out + i, widen8(w.scale_kind, few));
  }
  for (i = 0; i < 16; i += 8) _mm256_storeu_ps(out + count + i, _mm256_setzero_ps());
}

/// The zero point of group g of a row.
inline int zero_at(const Row& row, int bits, int64_t g) {
  const int64_t bit = g * bits;
  const std::byte* p = row.zeros + bit / 8;
  unsigned code = std::to_integer<unsigned>(p[0]);
  if (bit % 8 + bits > 8) code |= std::to_integer<unsigned>(p[1]) << 8;
  return static_cast<int>(code >> (bit % 8) & ((1u << bits) - 1));
}

/// sum_g s[g] (offset - zero[g]) sums[g] over `count` groups from `first` on.
[[gnu::noinline]] inline float zeros_part(const Row& row, int bits, int offset, const float* s, int64_t first,
                                          int64_t count, const float* sums) {
  float lanes[8] = {};
  for (int64_t g = 0; g < count; ++g) {
    lanes[g % 8] += s[g] * static_cast<float>(offset - zero_at(row, bits, first + g)) * sums[first + g];
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/// sum_g m[g] sums[g].
[[gnu::noinline]] inline float minimums_part(const float* m, int64_t count, const float* sums) {
  float lanes[8] = {};
  int64_t g = 0;
  for (; g + 8 <= count; g += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += m[g + lane] * sums[g + lane];
  }
  for (; g < count; ++g) lanes[g % 8] += m[g] * sums[g];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/// What groups of a block of rows share (SecondLevel): low and step of scales, then of zero points.
struct SecondNumbers {
  float of[4][kSegmentGroups];
};

/// Those of groups [first, first + count); nothing where scales have no second level.
[[gnu::noinline]] inline void widen_second(const Row& row, int64_t first, int64_t count, SecondNumbers& out) {
  if (row.second == nullptr) return;
  const std::byte* p = row.second + 8 * first;
  for (int64_t g = 0; g < count; g += 8, p += 64) {
    alignas(16) std::byte few[64] = {};
    const std::byte* from = p;
    if (count - g < 8) std::memcpy(few, p, static_cast<size_t>(8 * (count - g))), from = few;
    __m128i pairs[4], low[2], high[2];  // of two groups each: low step low step, twice
    for (int i = 0; i < 4; ++i) pairs[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
    for (int i = 0; i < 2; ++i) {
      const __m128i even = _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]);
      const __m128i odd = _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]);
      low[i] = _mm_unpacklo_epi16(even, odd), high[i] = _mm_unpackhi_epi16(even, odd);
    }
    _mm256_storeu_ps(out.of[0] + g, _mm256_cvtph_ps(_mm_unpacklo_epi64(low[0], low[1])));
    _mm256_storeu_ps(out.of[1] + g, _mm256_cvtph_ps(_mm_unpackhi_epi64(low[0], low[1])));
    _mm256_storeu_ps(out.of[2] + g, _mm256_cvtph_ps(_mm_unpacklo_epi64(high[0], high[1])));
    _mm256_storeu_ps(out.of[3] + g, _mm256_cvtph_ps(_mm_unpackhi_epi64(high[0], high[1])));
  }
}

/// `size` bytes at p, 16 at most, zeros at `end` and beyond.
inline __m128i load_before(const std::byte* p, const std::byte* end, int64_t size) {
  if (end - p >= 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  alignas(16) std::byte few[16] = {};
  std::memcpy(few, p, static_cast<size_t>(std::min<int64_t>(size, end - p)));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(few));
}

/// Widens scales of a matrix whose zero points are numbers.
class RealScales {
 public:
  explicit RealScales(const IntRows& w)
      : scales_end_(w.scales + w.scale_rows * w.scale_row_bytes),
        zeros_end_(w.real_zeros ? w.zeros + w.scale_rows * w.zero_row_bytes : nullptr),
        bits_(w.second.bits),
        how_(std::max(bits_, 1)) {}

  /// Scales [first, first + count) of a row -> scales, and 16 zeros or more after them; and body(i, eight scales, eight
  /// zero points) of group first + i on. `second` as widen_second() leaves it of the same groups.
  template <typename Body>
  void widen(const Row& row, const SecondNumbers& second, int64_t first, int64_t count, float* scales,
             const Body& body) const {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    int64_t i = 0;
    for (; i < count; i += 8) {
      const __m256i left = _mm256_set1_epi32(static_cast<int32_t>(count - i));
      const __m256 ours = _mm256_castsi256_ps(_mm256_cmpgt_epi32(left, lanes));
      const __m256 all = eight(row.scales, scales_end_, first + i, second.of[0] + i, second.of[1] + i);
      const __m256 scale = _mm256_and_ps(all, ours);
      _mm256_storeu_ps(scales + i, scale);
      body(i, scale, eight(row.zeros, zeros_end_, first + i, second.of[2] + i, second.of[3] + i));
    }
    for (const int64_t padded = i + 16; i < padded; i += 8) _mm256_storeu_ps(scales + i, _mm256_setzero_ps());
  }

  /// The same, and scale (offset - zero) -> minimums, to the next multiple of eight.
  [[gnu::noinline]] void widen(const Row& row, const SecondNumbers& second, int64_t first, int64_t count, int offset,
                               float* scales, float* minimums) const {
    const __m256 middle = _mm256_set1_ps(static_cast<float>(offset));
    widen(row, second, first, count, scales, [=](int64_t i, __m256 scale, __m256 zero) {
      _mm256_storeu_ps(minimums + i, _mm256_mul_ps(scale, _mm256_sub_ps(middle, zero)));
    });
  }

 private:
  /// Numbers [g, g + 8) of a row.
  __m256 eight(const std::byte* numbers, const std::byte* end, int64_t g, const float* low, const float* step) const {
    if (bits_ == 0) return _mm256_cvtph_ps(load_before(numbers + 2 * g, end, 16));
    const __m256i stream = _mm256_broadcastsi128_si256(load_before(numbers + g / 8 * bits_, end, bits_));
    const auto* how = reinterpret_cast<const __m256i*>(how_.places);
    const __m256i placed = _mm256_shuffle_epi8(stream, _mm256_load_si256(how));
    const __m256i shifted = _mm256_srlv_epi32(placed, _mm256_load_si256(reinterpret_cast<const __m256i*>(how_.shifts)));
    const __m256i codes = _mm256_and_si256(shifted, _mm256_set1_epi32((1 << bits_) - 1));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(codes), _mm256_loadu_ps(step), _mm256_loadu_ps(low));
  }

  const std::byte *scales_end_, *zeros_end_;
  int bits_;
  BitLanes<8> how_;
};

}  // namespace
}  // namespace bitloom
