#pragma once
// What every kernel makes of the input: tables of sums for each word of nibbles, tables of products for other columns.
// In an unnamed namespace, as nibble_table.h.

#include <algorithm>

#include "base/memory/dtype.h"
#include "kernels/column_dot/column_dot.h"
#include "kernels/nibble_table.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

inline float half_value(const std::byte* half) {
  uint16_t bits;
  std::memcpy(&bits, half, 2);
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  return f16_to_f32(bits);
#endif
}

/// Walks over the columns as they lie, and their tables.
class ColumnWalk {
 public:
  ColumnWalk(const ColumnTables& w, const float* x) : w_(w), x_(x) {
    const ColumnLayout& layout = *w.layout;
    fours_ = layout.fours, pairs_ = fours_ + 2 * layout.pairs, twos_ = pairs_ + layout.twos;
    ones_ = twos_ + layout.ones;
  }

  /// The next eight nibbles; those beyond the last are zero.
  void next_word(WordSums& sums) {
    for (auto& t : sums.t) next_nibble(t);
  }

  /// out [2^bits]: the next column's products.
  void next_column(int bits, float* out) {
    const float x = x_[w_.layout->order[static_cast<size_t>(column_++)]];
    const int levels = 1 << bits;
    const std::byte* halves = w_.tables + table_;
#if defined(__AVX2__)
    for (int i = 0; levels >= 8 && i < levels; i += 8) {
      const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + 2 * i));
      _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_set1_ps(x), _mm256_cvtph_ps(eight)));
    }
    constexpr int kScalar = 4;
#else
    constexpr int kScalar = 256;
#endif
    for (int i = 0; levels <= kScalar && i < levels; ++i) out[i] = x * half_value(halves + 2 * i);
    table_ += 2 * levels;
  }

 private:
  void next_nibble(float* t) {
    if (column_ < fours_) return next_column(4, t);
    if (column_ < pairs_) {
      float a[8], b[2];
      next_column(3, a);
      next_column(1, b);
      for (int n = 0; n < 16; ++n) t[n] = a[n & 7] + b[n >> 3];
      return;
    }
    if (column_ < twos_) {
      float a[4], b[4] = {};
      next_column(2, a);
      if (column_ < twos_) next_column(2, b);
      return sums_of_pair(a, b, t);
    }
    float a[4] = {}, step[4] = {};
    for (int i = 0; i < 4 && column_ < ones_; ++i) {
      float two[2];
      next_column(1, two);
      a[i] = two[0], step[i] = two[1] - two[0];
    }
    sums_of_bits(a, step, t);
  }

  const ColumnTables& w_;
  const float* x_;
  int64_t column_ = 0, table_ = 0, fours_ = 0, pairs_ = 0, twos_ = 0, ones_ = 0;
};

/// The tables of all words, as digits: runs of kMostWords share a scale.
template <int kPlanes>
struct ColumnDigits {
  WordDigits<kPlanes>* words;  // [words]
  float* scales;               // [runs]

  ColumnDigits(const ColumnTables& w, std::byte* scratch)
      : words(reinterpret_cast<WordDigits<kPlanes>*>(scratch)),
        scales(reinterpret_cast<float*>(scratch + word_count(w) * static_cast<int64_t>(sizeof *words))) {}

  static int64_t word_count(const ColumnTables& w) { return (w.layout->row_bytes + 3) / 4; }

  /// Made for one input; `walk` then stands at the first column beside the nibbles.
  void prepare(const ColumnTables& w, ColumnWalk& walk) const {
    WordSums sums[kMostWords];
    for (int64_t first = 0; first < word_count(w); first += kMostWords) {
      const auto count = static_cast<int>(std::min<int64_t>(kMostWords, word_count(w) - first));
      for (int i = 0; i < count; ++i) walk.next_word(sums[i]);
      scales[first / kMostWords] = round_words(sums, count, words + first);
    }
  }
};

}  // namespace
}  // namespace bitloom
