#pragma once
// One word of nibbles of 16 rows (kernels/nibble_table.h), with AVX2. In an unnamed namespace, as nibble_table.h.

#include <immintrin.h>

#include <algorithm>

#include "kernels/nibble_table.h"

namespace bitloom {
namespace {

/// The codes of a word of 16 rows in two registers.
struct WordCodes {
  __m256i half[2];
};

/// Of rows that have `bytes` (1 to 4) of a word's four, zeros above.
inline WordCodes load_word(const std::byte* codes, int64_t bytes) {
  alignas(32) std::byte word[64] = {};
  if (bytes < 4) {
    for (int r = 0; r < 16; ++r) std::copy_n(codes + r * bytes, bytes, word + 4 * r);
    codes = word;
  }
  const auto* at = reinterpret_cast<const __m256i*>(codes);
  return {{_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)}};
}

/// What the nibbles in `bytes` look up in four tables of 16 bytes, each byte in the one of its place in its lane: bytes
/// of other places get an index above 127, which finds zero.
inline __m256i look_up(const int8_t (&tables)[4][16], __m256i bytes) {
  __m256i found = _mm256_setzero_si256();
  for (int place = 0; place < 4; ++place) {
    const __m256i others = _mm256_set1_epi32(static_cast<int>(0x80808080u & ~(0xFFu << (8 * place))));
    const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(tables[place])));
    found = _mm256_or_si256(found, _mm256_shuffle_epi8(table, _mm256_or_si256(bytes, others)));
  }
  return found;
}

/// Integers of 16 rows.
struct RowInts {
  __m256i half[2];
};

/// sums += what the nibbles of a word look up.
template <int kPlanes>
inline void add_word(const WordDigits<kPlanes>& word, const WordCodes& codes, RowInts& sums) {
  const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi8(1), wide = _mm256_set1_epi16(1);
  for (int half = 0; half < 2; ++half) {
    const __m256i low = _mm256_and_si256(codes.half[half], nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes.half[half], 4), nibble);
    __m256i total = _mm256_setzero_si256();
    for (int p = 0; p < kPlanes; ++p) {
      const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(ones, look_up(word.digits[p][0], low)),
                                             _mm256_maddubs_epi16(ones, look_up(word.digits[p][1], high)));
      total = _mm256_add_epi32(_mm256_slli_epi32(total, 8), _mm256_madd_epi16(pairs, wide));
    }
    sums.half[half] = _mm256_add_epi32(sums.half[half], total);
  }
}

}  // namespace
}  // namespace bitloom
