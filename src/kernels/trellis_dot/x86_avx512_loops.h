#pragma once
// 16 rows' sums in 16 registers, one for each row of a group; the lane is the group. Per step, for 64 or 32 weights:
// vpsllw, vpsrlw, vporq (windows, but for those that are words), vpmullw, vpmulhuw (hash), vpermb (table; without VBMI
// four instructions), vpdpbusd (product with four digits of x). On Zen 4 the two multiplications and the product share
// two of four ports and bound a step, so vpshldw, which needs these as well, is slower than the three for the windows.
//
// The table is stored as value + 128, which vpdpbusd takes as unsigned; 128 times the digits' sum is taken back.

#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/trellis_dot/super_tile.h"
#include "kernels/trellis_dot/x86_avx512.h"
#include "kernels/x86_transpose.h"

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

/// Loaded once: GCC 12 would make it an operand of every instruction that reads it.
[[gnu::always_inline]] inline __m512i in_register(__m512i x) {
  asm("" : "+v"(x));
  return x;
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

  /// The 16 bits that begin kShift bits into `high`, and go on in `low`.
  template <int kShift>
  [[gnu::always_inline]] static __m512i window(__m512i high, __m512i low) {
    if constexpr (kShift == 0) return high;
    return _mm512_or_si512(_mm512_slli_epi16(high, kShift), _mm512_srli_epi16(low, 16 - kShift));
  }

  /// y[r] += weight times the products of one super-tile's row r of every group. A function of its own, whose sums, and
  /// nothing but these, stay in registers: beside those of the row GCC 12 stores them at every step.
  [[gnu::noinline]] static void add(const std::byte* tile, const int32_t* quads, int32_t start, float weight,
                                    const TrellisValues& code, float (&y)[16][16]) {
    const TrellisValues values = code;  // in registers
    constexpr int kAll = 8 * kHalfBits;
    __m512i acc[16];
    unrolled<16>([&](auto r) __attribute__((always_inline)) { acc[r] = _mm512_set1_epi32(start); });
    __m512i before = _mm512_loadu_si512(tile + (kAll - 1) * 64);
#pragma GCC unroll 1
    for (int run = 0; run < kAll / kWords; ++run) {
      __m512i words[kWords + 1], column[kRun / 16];
      unrolled<kRun / 16>([&](auto i) __attribute__((always_inline)) {
        column[i] = in_register(_mm512_set1_epi32(quads[i]));
      });
      words[0] = before;
      unrolled<kWords>([&](auto i) __attribute__((always_inline)) {
        const std::byte* word = tile + i * 64;
        _mm_prefetch(reinterpret_cast<const char*>(word + kAhead), _MM_HINT_T1);
        _mm_prefetch(reinterpret_cast<const char*>(word + kSoon), _MM_HINT_T0);
        words[i + 1] = in_register(_mm512_loadu_si512(word));
      });
      unrolled<kRun>([&](auto i) __attribute__((always_inline)) {
        constexpr int kEnd = bits_before(i + 1);  // of the window, after the first word; its start is 16 before
        constexpr int kAt = kEnd / 16;            // words[kAt] holds the start
        const __m512i bytes = values.at(window<kEnd % 16>(words[kAt], words[std::min(kAt + 1, kWords)]));
        // As an instruction: GCC 12 would copy sums to other registers and back.
        asm("vpdpbusd %2, %1, %0" : "+v"(acc[i % 16]) : "v"(bytes), "v"(column[i / 16]));
      });
      before = words[kWords];
      tile += kWords * 64, quads += kRun / 16;
    }
    const __m512 by = _mm512_set1_ps(weight);
    unrolled<16>([&](auto r) __attribute__((always_inline)) {
      _mm512_store_ps(y[r], _mm512_fmadd_ps(by, _mm512_cvtepi32_ps(acc[r]), _mm512_load_ps(y[r])));
    });
  }

  static void run(const TrellisDotCall& call) {
    const TrellisValues values(call.w);
    const int64_t super_cols = (call.w.cols + kTrellisCols - 1) / kTrellisCols;
    for (int64_t s = call.first; s < call.last; ++s) {
      const SuperRow row = super_row(call.w, s);
      for (int64_t t = 0; t < call.tokens; ++t) {
        alignas(64) float y[16][16] = {};  // [row in group][group]
        for (int64_t c = 0; c < super_cols; ++c) {
          const TrellisInput x = trellis_input(call, t, c);
          SuperTileRoom room;
          const std::byte* tile = whole_super_tile(row, row.tile(c), room);
          for (int p = 0; p < call.planes; ++p) {
            const Digits<kValues> digits(x.digits[p]);
            add(tile, digits.quads, -128 * digits.sum, plane_weight(call.planes, p) * x.scale, values, y);
          }
        }
        const __m512 scale = _mm512_set1_ps(call.w.scale);
        __m512i out[16];
        for (int r = 0; r < 16; ++r) out[r] = _mm512_castps_si512(_mm512_mul_ps(scale, _mm512_load_ps(y[r])));
        transpose_fours(out);
        float* y_row = call.y + t * call.y_stride + row.first_row;
        const int64_t rows = std::min(kTrellisRows, call.w.rows - row.first_row);
        for (int64_t j = 0; 16 * j < rows; ++j) {
          const auto ours = static_cast<__mmask16>((1U << std::min<int64_t>(16, rows - 16 * j)) - 1);
          _mm512_mask_storeu_ps(y_row + 16 * j, ours, _mm512_castsi512_ps(out[j]));
        }
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
