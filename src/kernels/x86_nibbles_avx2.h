#pragma once
// One word of nibbles of 16 rows (kernels/nibble_table.h), with AVX2. In an unnamed namespace, as nibble_table.h.

#include <algorithm>

#include "kernels/nibble_table.h"
#include "kernels/x86_intrinsics.h"

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

/// The nibbles of a word as indices into tables of 16 bytes, byte by byte of the rows' four: 16 rows in each half, in
/// [0] of bytes 0 and 1, in [1] of bytes 2 and 3.
struct NibbleIndices {
  NibbleIndices() = default;
  explicit NibbleIndices(const WordCodes& codes) {
    const __m128i bytes_together = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i places = _mm256_broadcastsi128_si256(bytes_together);
    const __m256i order = _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7), nibble = _mm256_set1_epi8(15);
    __m256i fours[2];  // of each byte eight rows
    for (int half = 0; half < 2; ++half) {
      fours[half] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(codes.half[half], places), order);
    }
    const __m256i bytes[2] = {_mm256_unpacklo_epi64(fours[0], fours[1]), _mm256_unpackhi_epi64(fours[0], fours[1])};
    for (int k = 0; k < 2; ++k) {
      low[k] = _mm256_and_si256(bytes[k], nibble);
      high[k] = _mm256_and_si256(_mm256_srli_epi16(bytes[k], 4), nibble);
    }
  }
  __m256i low[2], high[2];
};

/// Integers of 16 rows.
struct RowInts {
  __m256i half[2];
};

/// Sums of digits of 16 rows, by plane: of rows 0 to 7 and of the others, in each half those of two of a word's bytes.
/// 16 bits hold four digits of every one of kMostWords words.
template <int kPlanes>
class DigitSums {
 public:
  DigitSums() {
    for (auto& plane : sums_) plane[0] = plane[1] = _mm256_setzero_si256();
  }

  /// sums += what the nibbles of a word look up.
  void add(const WordDigits<kPlanes>& word, const NibbleIndices& at) {
    const __m256i ones = _mm256_set1_epi8(1);
    for (int p = 0; p < kPlanes; ++p) {
      for (int k = 0; k < 2; ++k) {
        const __m256i low = _mm256_shuffle_epi8(tables(word.digits[p][0][2 * k]), at.low[k]);
        const __m256i high = _mm256_shuffle_epi8(tables(word.digits[p][1][2 * k]), at.high[k]);
        const __m256i first = _mm256_maddubs_epi16(ones, _mm256_unpacklo_epi8(low, high));
        const __m256i last = _mm256_maddubs_epi16(ones, _mm256_unpackhi_epi8(low, high));
        sums_[p][0] = _mm256_add_epi16(sums_[p][0], first), sums_[p][1] = _mm256_add_epi16(sums_[p][1], last);
      }
    }
  }

  /// As integers.
  RowInts total() const {
    RowInts all = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};
    for (int p = 0; p < kPlanes; ++p) {
      for (int half = 0; half < 2; ++half) {
        const __m256i first = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums_[p][half]));
        const __m256i last = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sums_[p][half], 1));
        all.half[half] = _mm256_add_epi32(_mm256_slli_epi32(all.half[half], 8), _mm256_add_epi32(first, last));
      }
    }
    return all;
  }

 private:
  /// Those of two of a word's bytes, one after the other.
  static __m256i tables(const int8_t* first) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(first)); }

  __m256i sums_[kPlanes][2];
};

}  // namespace
}  // namespace bitloom
