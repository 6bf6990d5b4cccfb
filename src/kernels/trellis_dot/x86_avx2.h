#pragma once
// Values of 16 tiles at a step, in AVX2. In an unnamed namespace: for sources with flags of their own.

#include "kernels/avx2_table64.h"
#include "kernels/trellis_dot/super_tile.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

/// Table values of 16 states, in 16 bits.
struct TrellisPair {
  __m256i first, second;
};

class TrellisValues {
 public:
  explicit TrellisValues(const TrellisRows& w)
      : hash_(_mm256_set1_epi16(static_cast<int16_t>(w.hash))), mix_(_mm256_set1_epi16(static_cast<int16_t>(w.mix))) {
    for (int i = 0; i < 4; ++i) {
      table_[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.table + 16 * i)));
    }
  }

  /// Of half `half` of a whole super-tile's tiles.
  TrellisPair at(const std::byte* tile, const TrellisWindow& window, int half) const {
    const auto word = [&](int e) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile + 64 * e + 32 * half));
    };
    const __m256i states = _mm256_or_si256(_mm256_sll_epi16(word(window.high), _mm_cvtsi32_si128(window.shift)),
                                           _mm256_srl_epi16(word(window.low), _mm_cvtsi32_si128(16 - window.shift)));
    const __m256i bytes = look_up64(table_, Places64(_mm256_mulhi_epu16(_mm256_mullo_epi16(states, hash_), mix_)));
    return {_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8)};
  }

 private:
  __m256i hash_, mix_, table_[4];
};

}  // namespace
}  // namespace bitloom
