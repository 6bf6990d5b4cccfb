#pragma once
// Values of 32 tiles at a step, in AVX-512, with VBMI and VBMI2 where the source is compiled with them. In an unnamed
// namespace: for sources with flags of their own.

#include <immintrin.h>

#include "kernels/trellis_dot/trellis_dot.h"

namespace bitloom {
namespace {

#if defined(__AVX512VBMI__) && defined(__AVX512VBMI2__)
/// A table of 64 bytes in one register.
class ByteTable {
 public:
  explicit ByteTable(const int8_t* table)
      : table_(_mm512_xor_si512(_mm512_loadu_si512(table), _mm512_set1_epi8(static_cast<char>(0x80)))) {}
  /// table[i mod 64] + 128 of every byte.
  __m512i at(__m512i i) const { return _mm512_permutexvar_epi8(i, table_); }
  static __m512i window(__m512i high, __m512i low, int shift) {
    return _mm512_shldv_epi16(high, low, _mm512_set1_epi16(static_cast<int16_t>(shift)));
  }

 private:
  __m512i table_;
};
#else
/// The same with tables of words, which vpermi2w takes an index modulo 64 to: one of the low bytes, one of the high.
class ByteTable {
 public:
  explicit ByteTable(const int8_t* table) {
    for (int half = 0; half < 2; ++half) {
      const __m256i bytes = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + 32 * half)),
                                             _mm256_set1_epi8(static_cast<char>(0x80)));
      low_[half] = _mm512_cvtepu8_epi16(bytes), high_[half] = _mm512_slli_epi16(low_[half], 8);
    }
  }
  __m512i at(__m512i i) const {
    return _mm512_or_si512(_mm512_permutex2var_epi16(low_[0], i, low_[1]),
                           _mm512_permutex2var_epi16(high_[0], _mm512_srli_epi16(i, 8), high_[1]));
  }
  static __m512i window(__m512i high, __m512i low, int shift) {
    return _mm512_or_si512(_mm512_slli_epi16(high, static_cast<unsigned>(shift)),
                           _mm512_srli_epi16(low, static_cast<unsigned>(16 - shift)));
  }

 private:
  __m512i low_[2], high_[2];
};
#endif

/// A code's hash and table.
class TrellisValues {
 public:
  explicit TrellisValues(const TrellisRows& w)
      : hash_(_mm512_set1_epi16(static_cast<int16_t>(w.hash))),
        mix_(_mm512_set1_epi16(static_cast<int16_t>(w.mix))),
        table_(w.table) {}

  /// Both table values + 128 of the windows that begin `shift` bits into `high`: a byte each.
  __m512i at(__m512i high, __m512i low, int shift) const { return at(ByteTable::window(high, low, shift)); }
  __m512i at(__m512i states) const { return table_.at(_mm512_mulhi_epu16(_mm512_mullo_epi16(states, hash_), mix_)); }

 private:
  __m512i hash_, mix_;
  ByteTable table_;
};

}  // namespace
}  // namespace bitloom
