#pragma once
// One word of nibbles of 16 rows (kernels/nibble_table.h), with AVX-512 VBMI and VNNI. In an unnamed namespace, as
// nibble_table.h.

#include <immintrin.h>

#include "kernels/nibble_table.h"

namespace bitloom {
namespace {

/// The codes of 16 rows that have `bytes` (1 to 3) of a word's four -> lanes, zeros above.
inline __m512i load_short_word(const std::byte* codes, int64_t bytes) {
  const auto lane = static_cast<uint64_t>((1u << bytes) - 1);
  const __m512i packed = _mm512_maskz_loadu_epi8((uint64_t{1} << (16 * bytes)) - 1, codes);
  return _mm512_maskz_expand_epi8(lane * 0x1111111111111111u, packed);
}

/// The nibbles of a word as indices into 64 bytes: the low ones and the high ones of its bytes.
struct NibbleIndices {
  explicit NibbleIndices(__m512i codes) {
    const __m512i nibble = _mm512_set1_epi8(15), place = _mm512_set1_epi32(0x30201000);
    low = _mm512_ternarylogic_epi32(codes, nibble, place, 0xEA);  // (codes & nibble) | place
    high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(codes, 4), nibble, place, 0xEA);
  }
  NibbleIndices() = default;
  __m512i low, high;
};

/// Sums of digits of 16 rows, by plane.
template <int kPlanes>
struct DigitSums {
  __m512i plane[kPlanes];
  DigitSums() {
    for (__m512i& sum : plane) sum = _mm512_setzero_si512();
  }
  /// As integers.
  __m512i total() const {
    __m512i all = plane[0];
    for (int p = 1; p < kPlanes; ++p) all = _mm512_add_epi32(_mm512_slli_epi32(all, 8), plane[p]);
    return all;
  }
};

/// The tables of a word in registers.
template <int kPlanes>
class NibbleTables {
 public:
  explicit NibbleTables(const WordDigits<kPlanes>& word) {
    for (int p = 0; p < kPlanes; ++p) {
      for (int half = 0; half < 2; ++half) tables_[p][half] = _mm512_load_si512(word.digits[p][half]);
    }
  }

  /// sums += what the nibbles look up.
  void add(const NibbleIndices& at, DigitSums<kPlanes>& sums) const {
    const __m512i ones = _mm512_set1_epi8(1);
    for (int p = 0; p < kPlanes; ++p) {
      sums.plane[p] = _mm512_dpbusd_epi32(sums.plane[p], ones, _mm512_permutexvar_epi8(at.low, tables_[p][0]));
      sums.plane[p] = _mm512_dpbusd_epi32(sums.plane[p], ones, _mm512_permutexvar_epi8(at.high, tables_[p][1]));
    }
  }

 private:
  __m512i tables_[kPlanes][2];
};

}  // namespace
}  // namespace bitloom
