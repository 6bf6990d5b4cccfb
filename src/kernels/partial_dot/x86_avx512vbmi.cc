// 16 columns at a time: masked sums, and codes spread over the masked lanes (vpexpandb).

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/partial_dot/partial_dot.h"

namespace bitloom {
namespace {

/// 16 bits of a row; bits of bytes at `end` or beyond are 0.
uint32_t bits_at(const std::byte* p, const std::byte* end) {
  if (end - p >= 2) {
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return bits;
  }
  return std::to_integer<uint32_t>(*p);
}

}  // namespace

void partial_dot_avx512vbmi(const PartialDotCall& call) {
  const PartialRows& w = call.w;
  const int64_t row_bytes = (w.cols + 7) / 8;
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * w.cols;
    const auto lanes = [&](int64_t c) { return static_cast<__mmask16>((1u << std::min<int64_t>(16, w.cols - c)) - 1); };
    __m512 all = _mm512_setzero_ps();
    for (int64_t c = 0; c < w.cols; c += 16) all = _mm512_add_ps(all, _mm512_maskz_loadu_ps(lanes(c), x + c));
    const float total = _mm512_reduce_add_ps(all);
    for (int64_t r = call.first; r < call.last; ++r) {
      const std::byte *mask = w.mask + r * row_bytes, *signs = w.signs + r * row_bytes, *code = w.codes + w.starts[r];
      const std::byte *mask_end = mask + row_bytes, *signs_end = signs + row_bytes;
      __m512 masked = _mm512_setzero_ps(), plus = masked, coded = masked;
      for (int64_t c = 0; c < w.cols; c += 16, mask += 2, signs += 2) {
        const uint32_t wide = bits_at(mask, mask_end) & lanes(c);
        const __m512 input = _mm512_maskz_loadu_ps(lanes(c), x + c);
        plus = _mm512_mask_add_ps(plus, static_cast<__mmask16>(bits_at(signs, signs_end)), plus, input);
        const auto few = static_cast<__mmask16>((1u << std::popcount(wide)) - 1);
        const __m128i spread = _mm_maskz_expand_epi8(static_cast<__mmask16>(wide), _mm_maskz_loadu_epi8(few, code));
        masked = _mm512_mask_add_ps(masked, static_cast<__mmask16>(wide), masked, input);
        coded = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(spread)), input, coded);
        code += std::popcount(wide);
      }
      call.y[t * call.y_stride + r] = partial_product(w.scales + 8 * r, total, _mm512_reduce_add_ps(masked),
                                                      _mm512_reduce_add_ps(plus), _mm512_reduce_add_ps(coded));
    }
  }
}

}  // namespace bitloom
