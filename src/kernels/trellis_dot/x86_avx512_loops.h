#pragma once
// 16 rows' sums in 16 registers, one for each row of a group; the lane is the group. Per step, for 64 or 32 weights,
// with VBMI: vpshldw (windows), vpmullw, vpmulhuw (hash), vpermb (table), vpdpbusd (product with four digits of x);
// without it three instructions more for the windows, and three for the table.
//
// The table is stored as value + 128, which vpdpbusd takes as unsigned; 128 times the digits' sum is taken back.

#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/trellis_dot/super_tile.h"
#include "kernels/trellis_dot/x86_avx512.h"

namespace bitloom {
namespace {

/// The digits as vpdpbusd meets them: 32 bits for each column, or pair of columns, of both tiles.
template <int kValues>
struct Digits {
  static constexpr int kCount = kValues == 2 ? 8 : 16;
  alignas(64) int32_t quads[kCount];
  int32_t sum;  // of all, each as often as it occurs

  explicit Digits(const int8_t* x) {
    const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
    const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 16));
    auto* out = reinterpret_cast<__m128i*>(quads);
    if constexpr (kValues == 2) {
      _mm_store_si128(out, _mm_unpacklo_epi16(left, right));
      _mm_store_si128(out + 1, _mm_unpackhi_epi16(left, right));
    } else {
      const __m128i l0 = _mm_unpacklo_epi8(left, left), l1 = _mm_unpackhi_epi8(left, left);
      const __m128i r0 = _mm_unpacklo_epi8(right, right), r1 = _mm_unpackhi_epi8(right, right);
      _mm_store_si128(out, _mm_unpacklo_epi16(l0, r0));
      _mm_store_si128(out + 1, _mm_unpackhi_epi16(l0, r0));
      _mm_store_si128(out + 2, _mm_unpacklo_epi16(l1, r1));
      _mm_store_si128(out + 3, _mm_unpackhi_epi16(l1, r1));
    }
    const __m256i biased = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)),
                                            _mm256_set1_epi8(static_cast<char>(0x80)));
    const __m256i sums = _mm256_sad_epu8(biased, _mm256_setzero_si256());
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const auto total = static_cast<int32_t>(_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1));
    sum = (total - 32 * 128) * (kValues == 2 ? 1 : 2);
  }
};

/// body(0), ..., body(kCount - 1) of constants: arrays that it takes elements of lie in registers.
template <int kCount, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, i>()), ...);
  }
  (std::make_integer_sequence<int, kCount>());
}

template <int kValues, int kHalfBits>
struct Kernel {
  /// Fresh bits of the steps before step i of a run of 16 or 32.
  static constexpr int bits_before(int i) {
    int bits = 0;
    for (int t = 0; t < i; ++t) bits += kValues == 2 ? kHalfBits : (kHalfBits + t % 2) / 2;
    return bits;
  }
  /// Steps after which the words come round: of T6V1 with a broken rate, two columns.
  static constexpr int kRun = bits_before(16) % 16 == 0 ? 16 : 32;
  static constexpr int kWords = bits_before(kRun) / 16;  // of a run

  static constexpr int64_t kAhead = 16384, kSoon = 2048;  // bytes that are fetched before their turn, at last to L1

  /// acc[r] += products of one super-tile's row r of every group.
  [[gnu::always_inline]] static void add(const std::byte* tile, int64_t groups, __mmask32 lanes, const int32_t* quads,
                                         const TrellisValues& values, __m512i (&acc)[16]) {
    const int64_t stride = 4 * groups;  // bytes of one word of all tiles
    constexpr int kAll = 8 * kHalfBits;
    for (int run = 0; run < kAll / kWords; ++run) {
      const int32_t* column = quads + run * (kRun / 16);
      __m512i words[kWords + 1];
      words[0] = _mm512_maskz_loadu_epi16(lanes, tile + (run == 0 ? kAll - 1 : run * kWords - 1) * stride);
      unrolled<kWords>([&](auto i) __attribute__((always_inline)) {
        const std::byte* word = tile + (run * kWords + i) * stride;
        _mm_prefetch(reinterpret_cast<const char*>(word + kAhead), _MM_HINT_T1);
        _mm_prefetch(reinterpret_cast<const char*>(word + kSoon), _MM_HINT_T0);
        words[i + 1] = _mm512_maskz_loadu_epi16(lanes, word);
      });
      unrolled<kRun>([&](auto i) __attribute__((always_inline)) {
        constexpr int kEnd = bits_before(i + 1);  // of the window, from the run's first word; its start is 16 before
        constexpr int kAt = kEnd / 16;            // words[kAt] holds the start
        const __m512i bytes =
            kEnd % 16 == 0 ? values.at(words[kAt]) : values.at(words[kAt], words[std::min(kAt + 1, kWords)], kEnd % 16);
        acc[i % 16] = _mm512_dpbusd_epi32(acc[i % 16], bytes, _mm512_set1_epi32(column[i / 16]));
      });
    }
  }

  static void run(const TrellisDotCall& call) {
    const TrellisValues values(call.w);
    const int64_t super_cols = (call.w.cols + kTrellisCols - 1) / kTrellisCols;
    for (int64_t s = call.first; s < call.last; ++s) {
      const SuperRow row = super_row(call.w, s);
      const auto lanes = static_cast<__mmask32>((uint64_t{1} << (2 * row.groups)) - 1);
      for (int64_t t = 0; t < call.tokens; ++t) {
        __m512 y[16];
        for (__m512& lane : y) lane = _mm512_setzero_ps();
        for (int64_t c = 0; c < super_cols; ++c) {
          const TrellisInput x = trellis_input(call, t, c);
          for (int p = 0; p < call.planes; ++p) {
            const Digits<kValues> digits(x.digits[p]);
            __m512i acc[16];
            const __m512i start = _mm512_set1_epi32(-128 * digits.sum);
            unrolled<16>([&](auto r) __attribute__((always_inline)) { acc[r] = start; });
            add(row.tile(c), row.groups, lanes, digits.quads, values, acc);
            const __m512 weight = _mm512_set1_ps(plane_weight(call.planes, p) * x.scale);
            unrolled<16>([&](auto r) __attribute__((always_inline)) {
              y[r] = _mm512_fmadd_ps(weight, _mm512_cvtepi32_ps(acc[r]), y[r]);
            });
          }
        }
        float out[16][16];  // [row in group][group]
        const __m512 scale = _mm512_set1_ps(call.w.scale);
        for (int r = 0; r < 16; ++r) _mm512_storeu_ps(out[r], _mm512_mul_ps(scale, y[r]));
        const int64_t rows = std::min(kTrellisRows, call.w.rows - row.first_row);
        float* y_row = call.y + t * call.y_stride + row.first_row;
        for (int64_t r = 0; r < rows; ++r) y_row[r] = out[r % 16][r / 16];
      }
    }
  }
};

using Run = void (*)(const TrellisDotCall&);

template <int kValues, int... kHalfBits>
Run choose(int half_bits) {
  Run found = nullptr;
  ((half_bits == kHalfBits ? void(found = Kernel<kValues, kHalfBits>::run) : void()), ...);
  return found;
}

inline void trellis_dot_avx512(const TrellisDotCall& call) {
  const int half_bits = call.w.half_bits;
  const Run run =
      call.w.values == 2 ? choose<2, 2, 3, 4, 5, 6, 7, 8>(half_bits) : choose<1, 2, 3, 4, 5, 6, 7, 8, 9, 10>(half_bits);
  run(call);
}

}  // namespace
}  // namespace bitloom
