// 16 costs a vector, two vectors at a time. A table of 64 words is two of bytes, each looked up sixteen entries at a
// time.

#include <immintrin.h>

#include "kernels/trellis_search/trellis_search.h"

namespace bitloom {

uint16_t trellis_least_avx2(const TrellisStep& step) {
  const int64_t n = (int64_t{1} << step.state_bits) >> step.k;
  const __m256i tags = _mm256_set1_epi16(static_cast<int16_t>((1 << step.tag_bits) - 1));
  __m256i least = _mm256_set1_epi16(-1);
  for (int64_t e = 0; e < n; e += 32) {
    __m256i from[2];
    for (int half = 0; half < 2; ++half) {
      const auto row = [&](int64_t j) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step.cost + j * n + e + 16 * half));
      };
      __m256i best = row(0);
      for (int64_t j = 1; j < int64_t{1} << step.k; ++j) best = _mm256_min_epu16(best, row(j));
      from[half] = _mm256_and_si256(best, tags);
      best = _mm256_andnot_si256(tags, best);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.best + e + 16 * half), best);
      least = _mm256_min_epu16(least, best);
    }
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(from[0], from[1]), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.from + e), bytes);
  }
  uint16_t lanes[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), least);
  uint16_t result = lanes[0];
  for (const uint16_t lane : lanes) result = lane < result ? lane : result;
  return result;
}

namespace {

/// 32 indices of 6 bits (others are ignored), a byte each.
struct Indices {
  __m256i in_sixteen, bit4, bit5;  // these two as the highest of their bytes
  explicit Indices(__m256i bytes)
      : in_sixteen(_mm256_and_si256(bytes, _mm256_set1_epi8(15))),
        bit4(_mm256_slli_epi16(bytes, 3)),
        bit5(_mm256_slli_epi16(bytes, 2)) {}
};

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
  void look_up(const Indices& i, __m256i (&out)[2]) const {
    const __m256i low = of(low_, i), high = of(high_, i);
    out[0] = _mm256_unpacklo_epi8(low, high), out[1] = _mm256_unpackhi_epi8(low, high);
  }

 private:
  static __m256i of(const __m256i (&sixteens)[4], const Indices& i) {
    const auto pair = [&](int at) {
      return _mm256_blendv_epi8(_mm256_shuffle_epi8(sixteens[at], i.in_sixteen),
                                _mm256_shuffle_epi8(sixteens[at + 1], i.in_sixteen), i.bit4);
    };
    return _mm256_blendv_epi8(pair(0), pair(2), i.bit5);
  }

  __m256i low_[4], high_[4];
};

template <bool kTwoValues>
void spread(const TrellisStep& step, uint16_t least_of_best) {
  const Table first(step.first), second(step.second);
  const auto every = [](int value) { return _mm256_set1_epi16(static_cast<int16_t>(value)); };
  const __m256i least = every(least_of_best), tags = every((1 << step.tag_bits) - 1), mix = every(step.mix);
  const __m256i most_difference = every(step.most_difference), most_cost = every(step.most_cost);
  const __m128i shift = _mm_cvtsi32_si128(step.shift), tag_bits = _mm_cvtsi32_si128(step.tag_bits);
  // Eight entries of best reach 8 * 2^k states: of each vector of these the entries, as bytes.
  const int64_t vectors = int64_t{1} << (step.k - 1);
  alignas(32) uint8_t reach[16][32];
  for (int i = 0; i < 16 * vectors; ++i) {
    const auto entry = static_cast<uint8_t>(i >> step.k);
    reach[i / 16][i % 16 * 2] = static_cast<uint8_t>(2 * entry);
    reach[i / 16][i % 16 * 2 + 1] = static_cast<uint8_t>(2 * entry + 1);
  }
  const int multiplier = step.hash << (16 - step.state_bits);
  int16_t lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = static_cast<int16_t>(i * multiplier);
  __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));  // moves by a constant
  const __m256i stride = every(16 * multiplier);
  const int64_t states = int64_t{1} << step.state_bits;
  const int tag_shift = step.state_bits - step.next_k;
  const __m256i low_bytes = every(0xff);
  for (int64_t s = 0; s < states; s += 32) {
    const __m256i g0 = _mm256_mulhi_epu16(h, mix);
    h = _mm256_add_epi16(h, stride);
    const __m256i g1 = _mm256_mulhi_epu16(h, mix);
    h = _mm256_add_epi16(h, stride);
    __m256i a[2], b[2];
    first.look_up(Indices(_mm256_packus_epi16(_mm256_and_si256(g0, low_bytes), _mm256_and_si256(g1, low_bytes))), a);
    second.look_up(Indices(_mm256_packus_epi16(_mm256_srli_epi16(g0, 8), _mm256_srli_epi16(g1, 8))), b);
    const __m256i tag = every(static_cast<int>(s >> tag_shift));
    for (int half = 0; half < 2; ++half) {
      const int64_t at = s + 16 * half;
      __m256i d;
      if constexpr (kTwoValues) {
        d = _mm256_adds_epu16(a[half], b[half]);
      } else {
        const __m256i difference = _mm256_abs_epi16(_mm256_subs_epi16(a[half], b[half]));
        const __m256i u = _mm256_sll_epi16(_mm256_min_epu16(difference, most_difference), shift);
        d = _mm256_sll_epi16(_mm256_min_epu16(_mm256_mulhi_epu16(u, u), most_cost), tag_bits);
      }
      const __m256i eight = _mm256_broadcastsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(step.best + ((at >> step.k) & ~int64_t{7}))));
      const __m256i entries = _mm256_load_si256(reinterpret_cast<const __m256i*>(reach[at / 16 % vectors]));
      const __m256i best = _mm256_sub_epi16(_mm256_shuffle_epi8(eight, entries), least);
      const __m256i cost = _mm256_or_si256(_mm256_andnot_si256(tags, _mm256_adds_epu16(best, d)), tag);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(step.cost + at), cost);
    }
  }
}

}  // namespace

void trellis_spread_avx2(const TrellisStep& step, uint16_t least) {
  step.two_values ? spread<true>(step, least) : spread<false>(step, least);
}

}  // namespace bitloom
