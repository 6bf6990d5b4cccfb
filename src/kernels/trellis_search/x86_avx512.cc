// 32 costs a vector. Tables of 64 words lie in two registers (vpermi2w, which takes an index modulo 64). A few vectors
// of minimums stay in registers while all j pass.

#include <immintrin.h>

#include <algorithm>

#include "kernels/trellis_search/trellis_search.h"

namespace bitloom {
namespace {

struct Table {
  __m512i low, high;
  explicit Table(const int16_t* values) : low(_mm512_loadu_si512(values)), high(_mm512_loadu_si512(values + 32)) {}
  __m512i at(__m512i index) const { return _mm512_permutex2var_epi16(low, index, high); }
};

__m512i every(int value) { return _mm512_set1_epi16(static_cast<int16_t>(value)); }

uint16_t least_lane(__m512i costs) {
  uint16_t lanes[32];
  _mm512_storeu_si512(lanes, costs);
  return *std::min_element(lanes, lanes + 32);
}

/// d of states, by g.
template <bool kTwoValues>
class Costs {
 public:
  explicit Costs(const TrellisStep& step)
      : first_(step.first),
        second_(step.second),
        most_difference_(every(step.most_difference)),
        most_cost_(every(step.most_cost)),
        shift_(_mm_cvtsi32_si128(step.shift)),
        tag_bits_(_mm_cvtsi32_si128(step.tag_bits)) {}

  __m512i of(__m512i g) const {
    const __m512i a = first_.at(g), b = second_.at(_mm512_srli_epi16(g, 8));
    if constexpr (kTwoValues) return _mm512_adds_epu16(a, b);
    const __m512i difference = _mm512_abs_epi16(_mm512_subs_epi16(a, b));
    const __m512i u = _mm512_sll_epi16(_mm512_min_epu16(difference, most_difference_), shift_);
    return _mm512_sll_epi16(_mm512_min_epu16(_mm512_mulhi_epu16(u, u), most_cost_), tag_bits_);
  }

 private:
  Table first_, second_;
  __m512i most_difference_, most_cost_;
  __m128i shift_, tag_bits_;
};

template <bool kTwoValues, int kFresh>
uint16_t search(const TrellisStep& step, uint16_t least_of_best) {
  constexpr int kVectors = 4;                              // of minimums
  constexpr int kReach = std::min(kVectors, 1 << kFresh);  // vectors of states that 32 entries of best serve
  const Costs<kTwoValues> costs(step);
  const __m512i least = every(least_of_best), tags = every((1 << step.tag_bits) - 1), mix = every(step.mix);
  int16_t lanes[32];
  for (int i = 0; i < 32; ++i) lanes[i] = static_cast<int16_t>(i);
  const __m512i iota = _mm512_loadu_si512(lanes);
  __m512i reach[kReach];  // lane -> entry of best
  for (int v = 0; v < kReach; ++v) reach[v] = _mm512_srli_epi16(_mm512_add_epi16(iota, every(32 * v)), kFresh);
  const int64_t n = (int64_t{1} << step.state_bits) >> step.next_k;
  // The hash is a product, so it moves by a constant from one vector to the next.
  const int multiplier = step.hash << (16 - step.state_bits);
  const __m512i stride = every(32 * multiplier), to_next_row = every(static_cast<int>(n - 32 * kVectors) * multiplier);
  __m512i least_of_next = every(-1);
  for (int64_t e = 0; e < n; e += 32 * kVectors) {
    __m512i best[kVectors];
    for (__m512i& lane : best) lane = every(-1);
    __m512i h = _mm512_mullo_epi16(_mm512_add_epi16(iota, every(static_cast<int>(e))), every(multiplier));
    for (int64_t j = 0; j < int64_t{1} << step.next_k; ++j) {
      const __m512i tag = every(static_cast<int>(j));
      __m512i entries{};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        if (v % kReach == 0) {
          entries = _mm512_sub_epi16(_mm512_loadu_si512(step.best + ((j * n + e + 32 * v) >> kFresh)), least);
        }
        const __m512i before = _mm512_permutexvar_epi16(reach[v % kReach], entries);
        const __m512i cost = _mm512_adds_epu16(before, costs.of(_mm512_mulhi_epu16(h, mix)));
        // cost where tags is 0, else tag.
        best[v] = _mm512_min_epu16(best[v], _mm512_ternarylogic_epi64(tags, tag, cost, 0xca));
        h = _mm512_add_epi16(h, stride);
      }
      h = _mm512_add_epi16(h, to_next_row);
    }
    for (int v = 0; v < kVectors; ++v) {
      const __m256i from = _mm512_cvtepi16_epi8(_mm512_and_si512(best[v], tags));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.from + e + 32 * v), from);
      const __m512i next = _mm512_andnot_si512(tags, best[v]);
      _mm512_storeu_si512(step.next + e + 32 * v, next);
      least_of_next = _mm512_min_epu16(least_of_next, next);
    }
  }
  return least_lane(least_of_next);
}

template <int kFresh>
uint16_t search_of(const TrellisStep& step, uint16_t least) {
  return step.two_values ? search<true, kFresh>(step, least) : search<false, kFresh>(step, least);
}

}  // namespace

uint16_t trellis_search_avx512(const TrellisStep& step, uint16_t least) {
  constexpr TrellisSearchKernel* kByFresh[] = {search_of<1>, search_of<2>, search_of<3>, search_of<4>, search_of<5>};
  return kByFresh[step.k - 1](step, least);
}

}  // namespace bitloom
