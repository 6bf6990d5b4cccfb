// Eight columns at a time: masked sums, and codes spread over the masked lanes by a table of byte shuffles.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/partial_dot/partial_dot.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

/// By eight bits of a mask: which of the next codes each column has, -1: none.
constexpr auto kSpread = [] {
  std::array<std::array<int8_t, 8>, 256> places{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    int8_t next = 0;
    for (unsigned c = 0; c < 8; ++c) places[mask][c] = (mask >> c & 1) != 0 ? next++ : int8_t{-1};
  }
  return places;
}();

/// Eight bytes at p, zeros where no more are available.
__m128i load_eight(const void* p, int64_t available) {
  const auto* at = static_cast<const __m128i*>(p);
  if (available >= 8) return _mm_loadl_epi64(at);
  uint64_t word = 0;
  std::memcpy(&word, p, static_cast<size_t>(available));
  return _mm_cvtsi64_si128(static_cast<int64_t>(word));
}

/// All ones in the lanes of the bits that are set.
__m256 lanes_of(unsigned bits) {
  const __m256i places = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  const __m256i found = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), places);
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(found, places));
}

__m256 load_columns(const float* x, int64_t count) {
  if (count >= 8) return _mm256_loadu_ps(x);
  alignas(32) float few[8] = {};
  std::copy_n(x, count, few);
  return _mm256_load_ps(few);
}

}  // namespace

void partial_dot_v256(const PartialDotCall& call) {
  const PartialRows& w = call.w;
  const int64_t row_bytes = (w.cols + 7) / 8;
  const std::byte* end = w.codes + w.starts[w.rows];
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * w.cols;
    __m256 all = _mm256_setzero_ps();
    for (int64_t c = 0; c < w.cols; c += 8) all = _mm256_add_ps(all, load_columns(x + c, w.cols - c));
    const float total = sum8(all);
    for (int64_t r = call.first; r < call.last; ++r) {
      const std::byte *masks = w.mask + r * row_bytes, *signs = w.signs + r * row_bytes, *code = w.codes + w.starts[r];
      __m256 masked = _mm256_setzero_ps(), plus = masked, coded = masked;
      for (int64_t b = 0; b < row_bytes; ++b) {
        const __m256 input = load_columns(x + 8 * b, w.cols - 8 * b);
        plus = _mm256_add_ps(plus, _mm256_and_ps(input, lanes_of(std::to_integer<unsigned>(signs[b]))));
        const auto mask = std::to_integer<unsigned>(masks[b]);
        const __m128i codes = _mm_shuffle_epi8(load_eight(code, end - code), load_eight(kSpread[mask].data(), 8));
        masked = _mm256_add_ps(masked, _mm256_and_ps(input, lanes_of(mask)));
        coded = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes)), input, coded);
        code += std::popcount(mask);
      }
      call.y[t * call.y_stride + r] = partial_product(w.scales + 8 * r, total, sum8(masked), sum8(plus), sum8(coded));
    }
  }
}

}  // namespace bitloom
