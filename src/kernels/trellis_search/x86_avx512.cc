// 32 costs a vector. Tables of 64 words lie in two registers (vpermi2w, which takes an index modulo 64).

#include <immintrin.h>

#include "kernels/trellis_search/trellis_search.h"

namespace bitloom {

uint16_t trellis_least_avx512(const TrellisStep& step) {
  const int64_t n = (int64_t{1} << step.state_bits) >> step.k;
  const __m512i tags = _mm512_set1_epi16(static_cast<int16_t>((1 << step.tag_bits) - 1));
  __m512i least = _mm512_set1_epi16(-1);
  for (int64_t e = 0; e < n; e += 32) {
    __m512i best = _mm512_loadu_si512(step.cost + e);
    for (int64_t j = 1; j < int64_t{1} << step.k; ++j) {
      best = _mm512_min_epu16(best, _mm512_loadu_si512(step.cost + j * n + e));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.from + e), _mm512_cvtepi16_epi8(_mm512_and_si512(best, tags)));
    best = _mm512_andnot_si512(tags, best);
    _mm512_storeu_si512(step.best + e, best);
    least = _mm512_min_epu16(least, best);
  }
  uint16_t lanes[32];
  _mm512_storeu_si512(lanes, least);
  uint16_t result = lanes[0];
  for (const uint16_t lane : lanes) result = lane < result ? lane : result;
  return result;
}

namespace {

struct Table {
  __m512i low, high;
  explicit Table(const int16_t* values) : low(_mm512_loadu_si512(values)), high(_mm512_loadu_si512(values + 32)) {}
  __m512i at(__m512i index) const { return _mm512_permutex2var_epi16(low, index, high); }
};

template <bool kTwoValues>
void spread(const TrellisStep& step, uint16_t least_of_best) {
  const Table first(step.first), second(step.second);
  const __m512i least = _mm512_set1_epi16(static_cast<int16_t>(least_of_best));
  const __m512i tags = _mm512_set1_epi16(static_cast<int16_t>((1 << step.tag_bits) - 1));
  const __m512i mix = _mm512_set1_epi16(static_cast<int16_t>(step.mix));
  const __m512i most_difference = _mm512_set1_epi16(static_cast<int16_t>(step.most_difference));
  const __m512i most_cost = _mm512_set1_epi16(static_cast<int16_t>(step.most_cost));
  const __m128i shift = _mm_cvtsi32_si128(step.shift), tag_bits = _mm_cvtsi32_si128(step.tag_bits);
  int16_t lane[32];
  for (int i = 0; i < 32; ++i) lane[i] = static_cast<int16_t>(i);
  const __m512i iota = _mm512_loadu_si512(lane);
  // The hash is a product, so it moves by a constant from one vector to the next.
  const int multiplier = step.hash << (16 - step.state_bits);
  const __m512i stride = _mm512_set1_epi16(static_cast<int16_t>(32 * multiplier));
  __m512i h = _mm512_mullo_epi16(iota, _mm512_set1_epi16(static_cast<int16_t>(multiplier)));
  const int64_t states = int64_t{1} << step.state_bits;
  const int tag_shift = step.state_bits - step.next_k;
  const int64_t vectors = int64_t{1} << step.k;  // that 32 entries of best reach
  __m512i reach[32];                             // lane -> entry of best
  for (int64_t v = 0; v < vectors; ++v) {
    reach[v] = _mm512_srl_epi16(_mm512_add_epi16(iota, _mm512_set1_epi16(static_cast<int16_t>(32 * v))),
                                _mm_cvtsi32_si128(step.k));
  }
  for (int64_t s = 0; s < states; s += 32 * vectors) {
    const __m512i best = _mm512_sub_epi16(_mm512_loadu_si512(step.best + (s >> step.k)), least);
    for (int64_t v = 0; v < vectors; ++v) {
      const __m512i g = _mm512_mulhi_epu16(h, mix);
      const __m512i a = first.at(g), b = second.at(_mm512_srli_epi16(g, 8));
      __m512i d;
      if constexpr (kTwoValues) {
        d = _mm512_adds_epu16(a, b);
      } else {
        const __m512i difference = _mm512_abs_epi16(_mm512_subs_epi16(a, b));
        const __m512i u = _mm512_sll_epi16(_mm512_min_epu16(difference, most_difference), shift);
        d = _mm512_sll_epi16(_mm512_min_epu16(_mm512_mulhi_epu16(u, u), most_cost), tag_bits);
      }
      const __m512i cost = _mm512_adds_epu16(_mm512_permutexvar_epi16(reach[v], best), d);
      const __m512i tag = _mm512_set1_epi16(static_cast<int16_t>((s + 32 * v) >> tag_shift));
      // cost where tags is 0, else tag.
      _mm512_storeu_si512(step.cost + s + 32 * v, _mm512_ternarylogic_epi64(tags, tag, cost, 0xca));
      h = _mm512_add_epi16(h, stride);
    }
  }
}

}  // namespace

void trellis_spread_avx512(const TrellisStep& step, uint16_t least) {
  step.two_values ? spread<true>(step, least) : spread<false>(step, least);
}

}  // namespace bitloom
