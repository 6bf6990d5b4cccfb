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

/// The tables of a word in registers.
template <int kPlanes>
class NibbleTables {
 public:
  explicit NibbleTables(const WordDigits<kPlanes>& word) : scale_(_mm512_set1_ps(word.scale)) {
    for (int p = 0; p < kPlanes; ++p) {
      for (int half = 0; half < 2; ++half) tables_[p][half] = _mm512_load_si512(word.digits[p][half]);
    }
  }

  /// sums += what the nibbles look up.
  void add(const NibbleIndices& at, __m512& sums) const {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i total = _mm512_setzero_si512();
    for (int p = 0; p < kPlanes; ++p) {
      if (p > 0) total = _mm512_slli_epi32(total, 8);
      total = _mm512_dpbusd_epi32(total, ones, _mm512_permutexvar_epi8(at.low, tables_[p][0]));
      total = _mm512_dpbusd_epi32(total, ones, _mm512_permutexvar_epi8(at.high, tables_[p][1]));
    }
    sums = _mm512_fmadd_ps(scale_, _mm512_cvtepi32_ps(total), sums);
  }
  void add(__m512i codes, __m512& sums) const { add(NibbleIndices(codes), sums); }

 private:
  __m512i tables_[kPlanes][2];
  __m512 scale_;
};

}  // namespace
}  // namespace bitloom
