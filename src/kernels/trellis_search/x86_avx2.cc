// 16 costs a vector, two vectors at a time. A table of 64 words is two of bytes, each looked up sixteen entries at a
// time.

#include <algorithm>

#include "kernels/avx2_table64.h"
#include "kernels/trellis_search/trellis_search.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {

namespace {

class Table {
 public:
  explicit Table(const int16_t* values) {
    const __m128i even = _mm_set_epi64x(-1, 0x0e0c0a0806040200), odd = _mm_set_epi64x(-1, 0x0f0d0b0907050301);
    for (int i = 0; i < 4; ++i) {
      const auto* at = reinterpret_cast<const __m128i*>(values + 16 * i);
      const __m128i low = _mm_loadu_si128(at), high = _mm_loadu_si128(at + 1);
      const auto bytes = [&](__m128i which) {
        return _mm256_broadcastsi128_si256(
            _mm_unpacklo_epi64(_mm_shuffle_epi8(low, which), _mm_shuffle_epi8(high, which)));
      };
      low_[i] = bytes(even), high_[i] = bytes(odd);
    }
  }
  /// out[0] of the bytes that packing made of one vector, out[1] of the other's.
  void look_up(const Places64& i, __m256i (&out)[2]) const {
    const __m256i low = look_up64(low_, i), high = look_up64(high_, i);
    out[0] = _mm256_unpacklo_epi8(low, high), out[1] = _mm256_unpackhi_epi8(low, high);
  }

 private:
  __m256i low_[4], high_[4];
};

__m256i every(int value) { return _mm256_set1_epi16(static_cast<int16_t>(value)); }

uint16_t least_lane(__m256i costs) {
  uint16_t lanes[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), costs);
  return *std::min_element(lanes, lanes + 16);
}

/// d of 32 states, by g.
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

  void of(const __m256i (&g)[2], __m256i (&d)[2]) const {
    __m256i a[2], b[2];
    const __m256i low = every(0xff);
    first_.look_up(Places64(_mm256_packus_epi16(_mm256_and_si256(g[0], low), _mm256_and_si256(g[1], low))), a);
    second_.look_up(Places64(_mm256_packus_epi16(_mm256_srli_epi16(g[0], 8), _mm256_srli_epi16(g[1], 8))), b);
    for (int half = 0; half < 2; ++half) d[half] = of(a[half], b[half]);
  }

 private:
  __m256i of(__m256i a, __m256i b) const {
    if constexpr (kTwoValues) return _mm256_adds_epu16(a, b);
    const __m256i difference = _mm256_abs_epi16(_mm256_subs_epi16(a, b));
    const __m256i u = _mm256_sll_epi16(_mm256_min_epu16(difference, most_difference_), shift_);
    return _mm256_sll_epi16(_mm256_min_epu16(_mm256_mulhi_epu16(u, u), most_cost_), tag_bits_);
  }

  Table first_, second_;
  __m256i most_difference_, most_cost_;
  __m128i shift_, tag_bits_;
};

template <bool kTwoValues>
uint16_t search(const TrellisStep& step, uint16_t least_of_best) {
  const Costs<kTwoValues> costs(step);
  const __m256i least = every(least_of_best), tags = every((1 << step.tag_bits) - 1), mix = every(step.mix);
  // Eight entries of best serve 8 * 2^k states: for each vector of these their bytes.
  const int64_t vectors = int64_t{1} << (step.k - 1);
  alignas(32) uint8_t reach[16][32];
  for (int i = 0; i < 16 * vectors; ++i) {
    for (int byte = 0; byte < 2; ++byte) {
      reach[i / 16][i % 16 * 2 + byte] = static_cast<uint8_t>(2 * (i >> step.k) + byte);
    }
  }
  const int64_t n = (int64_t{1} << step.state_bits) >> step.next_k;
  // The hash is a product, so it moves by a constant from one vector to the next.
  const int multiplier = step.hash << (16 - step.state_bits);
  int16_t lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<int16_t>(i * multiplier);
  const __m256i of_lanes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
  const __m256i stride = every(16 * multiplier), to_next_row = every(static_cast<int>(n - 32) * multiplier);
  __m256i least_of_next = every(-1);
  for (int64_t e = 0; e < n; e += 32) {
    __m256i best[2] = {every(-1), every(-1)};
    __m256i h = _mm256_add_epi16(of_lanes, every(static_cast<int>(e) * multiplier));
    for (int64_t j = 0; j < int64_t{1} << step.next_k; ++j) {
      const int64_t s = j * n + e;
      __m256i g[2], d[2];
      for (__m256i& half : g) half = _mm256_mulhi_epu16(h, mix), h = _mm256_add_epi16(h, stride);
      h = _mm256_add_epi16(h, to_next_row);
      costs.of(g, d);
      for (int half = 0; half < 2; ++half) {
        const int64_t at = s + 16 * half;
        const auto* eight = reinterpret_cast<const __m128i*>(step.best + ((at >> step.k) & ~int64_t{7}));
        const __m256i entries = _mm256_load_si256(reinterpret_cast<const __m256i*>(reach[at / 16 % vectors]));
        const __m256i before = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(eight)), entries);
        const __m256i cost = _mm256_adds_epu16(_mm256_sub_epi16(before, least), d[half]);
        const __m256i tagged = _mm256_or_si256(_mm256_andnot_si256(tags, cost), every(static_cast<int>(j)));
        best[half] = _mm256_min_epu16(best[half], tagged);
      }
    }
    const __m256i from = _mm256_packus_epi16(_mm256_and_si256(best[0], tags), _mm256_and_si256(best[1], tags));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.from + e), _mm256_permute4x64_epi64(from, 0xd8));
    for (int half = 0; half < 2; ++half) {
      const __m256i next = _mm256_andnot_si256(tags, best[half]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.next + e + 16 * half), next);
      least_of_next = _mm256_min_epu16(least_of_next, next);
    }
  }
  return least_lane(least_of_next);
}

}  // namespace

uint16_t trellis_search_v256(const TrellisStep& step, uint16_t least) {
  return step.two_values ? search<true>(step, least) : search<false>(step, least);
}

}  // namespace bitloom
