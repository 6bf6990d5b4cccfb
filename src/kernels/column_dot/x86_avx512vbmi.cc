// 16 rows in the lanes of a register, four tiles of them together. Per word of eight nibbles: one load, two times
// nibbles and their bytes' places as indices (vpternlogd), and for each plane two look-ups in 64 bytes (vpermb) and two
// sums of fours (vpdpbusd with ones).

#include <immintrin.h>

#include <algorithm>

#include "kernels/bit_lanes.h"
#include "kernels/column_dot/column_words.h"
#include "kernels/x86_nibbles_avx512.h"

namespace bitloom {
namespace {

/// 16 codes of kBits bits -> lanes, with garbage above them; nothing beyond the codes is read.
template <int kBits>
__m512i column_codes(const std::byte* codes) {
  static constexpr BitLanes<16> kHow(kBits);
  const auto bytes = static_cast<__mmask16>((1u << (2 * kBits)) - 1);
  const __m512i all = _mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(bytes, codes));
  return _mm512_srlv_epi32(_mm512_shuffle_epi8(all, _mm512_load_si512(kHow.places)), _mm512_load_si512(kHow.shifts));
}

/// products[code] in every lane; products [max(16, 2^kBits)].
template <int kBits>
__m512 products_of(__m512i codes, const float* products, __m512 first, __m512 second) {
  if constexpr (kBits == 3) return _mm512_permutexvar_ps(codes, first);
  if constexpr (kBits == 5) return _mm512_permutex2var_ps(first, codes, second);
  return _mm512_i32gather_ps(_mm512_and_si512(codes, _mm512_set1_epi32((1 << kBits) - 1)), products, 4);
}

template <int kPlanes>
class Loop {
 public:
  explicit Loop(const ColumnDotCall& call) : call_(call), w_(call.w), words_((w_.layout->row_bytes + 3) / 4) {}

  void run() {
    const ColumnDigits<kPlanes> tables(w_, call_.scratch);
    for (int64_t t = 0; t < call_.tokens; ++t) {
      ColumnWalk walk(w_, call_.x + t * w_.cols);
      tables.prepare(w_, walk);
      float* y = call_.y + t * call_.y_stride;
      int64_t tile = call_.first;
      for (; tile + 4 <= call_.last; tile += 4) tiles<4>(tables, walk, tile, y);
      for (; tile < call_.last; ++tile) tiles<1>(tables, walk, tile, y);
    }
  }

 private:
  template <int kTiles>
  void tiles(const ColumnDigits<kPlanes>& tables, ColumnWalk walk, int64_t tile, float* y) const {
    const std::byte* codes = w_.codes + tile * w_.layout->tile_bytes;
    __m512 sums[kTiles];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    for (int64_t first = 0; first < words_; first += kMostWords) {
      const __m512 scale = _mm512_set1_ps(tables.scales[first / kMostWords]);
      DigitSums<kPlanes> digits[kTiles];
      for (int64_t i = first; i < std::min(words_, first + kMostWords); ++i) {
        add_word<kTiles>(tables.words[i], codes + 64 * i, w_.layout->row_bytes - 4 * i, digits);
      }
      for (int k = 0; k < kTiles; ++k) {
        sums[k] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(digits[k].total()), sums[k]);
      }
    }
    const std::byte* odd = codes + 16 * w_.layout->row_bytes;
    odd_columns<kTiles, 3>(walk, odd, sums);
    odd_columns<kTiles, 5>(walk, odd, sums);
    odd_columns<kTiles, 6>(walk, odd, sums);
    odd_columns<kTiles, 7>(walk, odd, sums);
    odd_columns<kTiles, 8>(walk, odd, sums);
    for (int k = 0; k < kTiles; ++k) {
      const int64_t row = 16 * (tile + k), rows = std::min<int64_t>(16, w_.rows - row);
      _mm512_mask_storeu_ps(y + row, static_cast<__mmask16>((1u << rows) - 1), sums[k]);
    }
  }

  /// One word of the tiles' rows, which have so many bytes from it on.
  template <int kTiles>
  void add_word(const WordDigits<kPlanes>& word, const std::byte* codes, int64_t bytes,
                DigitSums<kPlanes> (&digits)[kTiles]) const {
    const NibbleTables<kPlanes> table(word);
    const int64_t stride = w_.layout->tile_bytes;
    for (int k = 0; k < kTiles; ++k) {
      const std::byte* at = codes + k * stride;
      _mm_prefetch(reinterpret_cast<const char*>(at + kTiles * stride), _MM_HINT_T1);
      table.add(NibbleIndices(bytes >= 4 ? _mm512_loadu_si512(at) : load_short_word(at, bytes)), digits[k]);
    }
  }

  template <int kTiles, int kBits>
  void odd_columns(ColumnWalk& walk, const std::byte*& odd, __m512 (&sums)[kTiles]) const {
    for (int64_t i = 0; i < w_.layout->odd[kBits]; ++i, odd += 2 * kBits) {
      alignas(64) float products[kBits < 4 ? 16 : 1 << kBits];
      walk.next_column(kBits, products);
      if constexpr (kBits == 3) std::memcpy(products + 8, products, 32);
      const __m512 first = _mm512_load_ps(products), second = _mm512_load_ps(products + (kBits == 5 ? 16 : 0));
      for (int k = 0; k < kTiles; ++k) {
        const __m512i codes = column_codes<kBits>(odd + k * w_.layout->tile_bytes);
        sums[k] = _mm512_add_ps(sums[k], products_of<kBits>(codes, products, first, second));
      }
    }
  }

  const ColumnDotCall& call_;
  const ColumnTables& w_;
  int64_t words_;
};

}  // namespace

void column_dot_avx512vbmi(const ColumnDotCall& call) {
  if (call.exact) {
    Loop<3>(call).run();
  } else {
    Loop<2>(call).run();
  }
}

}  // namespace bitloom
