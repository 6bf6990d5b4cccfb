#pragma once
// The loops of the x86 kernels. In an unnamed namespace, as nibble_table.h. An ISA's type V has
//
//   V::Float                     16 floats, a row in each lane; zero(), set(f), add, sub, mul, fma(a, b, c) = a b + c
//   V::levels(p, fp8)            16 levels at p: F16, or E4M3
//   V::store(y, rows, Float)     the first rows of them
//   V::Bits                      the nibbles of one word of 16 rows; V::bits(codes, bytes of a row), V::both(a, b)
//   V::Tables<kPlanes>           a word's tables, made of its digits; add(Bits, Float&)

#include <algorithm>

#include "kernels/plane_dot/plane_words.h"

namespace bitloom {
namespace {

template <class V, int kPlanes>
class PlaneLoop {
 public:
  explicit PlaneLoop(const PlaneDotCall& call) : call_(call), w_(call.w) {}

  void run() const {
    auto* totals = reinterpret_cast<BlockTotals*>(call_.scratch);
    auto* words = reinterpret_cast<Word*>(call_.scratch + totals_bytes(w_));
    for (int64_t t = 0; t < call_.tokens; ++t) {
      Word* next = words;
      prepare_planes(w_, call_.x + t * w_.cols, totals, [&](const WordSums& sums) { round_word(sums, *next++); });
      float* y = call_.y + t * call_.y_stride;
      int64_t tile = call_.first;
      for (; tile + V::kTiles <= call_.last; tile += V::kTiles) tiles<V::kTiles>(totals, words, tile, y);
      for (; tile < call_.last; ++tile) tiles<1>(totals, words, tile, y);
    }
  }

 private:
  using Word = WordDigits<kPlanes>;
  using Float = typename V::Float;
  using Bits = typename V::Bits;
  using Tables = typename V::template Tables<kPlanes>;

  /// S, T, U, S', T' of 16 rows.
  struct Sums {
    Float plain[3], salient[2];
  };

  template <int kTiles>
  void tiles(const BlockTotals* totals, const Word* word, int64_t tile, float* y) const {
    Float sums[kTiles];
    for (Float& sum : sums) sum = V::zero();
    const auto blocks = static_cast<int64_t>(w_.layout->blocks.size());
    for (int64_t b = 0; b < blocks; ++b) {
      Sums parts[kTiles];
      word = sum_block<kTiles>(w_.layout->blocks[static_cast<size_t>(b)], word, tile, parts);
      for (int k = 0; k < kTiles; ++k) {
        sums[k] = V::add(sums[k], block_part((tile + k) * blocks + b, totals[b], parts[k]));
      }
    }
    for (int k = 0; k < kTiles; ++k) {
      const int64_t row = 16 * (tile + k), rows = std::min<int64_t>(16, w_.rows - row);
      if (w_.level_scales != nullptr) {
        alignas(32) uint16_t scales[16] = {};
        std::memcpy(scales, w_.level_scales + 2 * row, static_cast<size_t>(2 * rows));
        sums[k] = V::mul(sums[k], V::levels(reinterpret_cast<const std::byte*>(scales), false));
      }
      V::store(y + row, rows, sums[k]);
    }
  }

  /// The tables after the block's.
  template <int kTiles>
  const Word* sum_block(const PlaneLayout::Block& block, const Word* word, int64_t tile, Sums* parts) const {
    for (int k = 0; k < kTiles; ++k) parts[k] = {{V::zero(), V::zero(), V::zero()}, {V::zero(), V::zero()}};
    const int64_t row_bytes = block.row_bytes(), tile_bytes = w_.layout->tile_bytes;
    const std::byte* codes = w_.codes + tile * tile_bytes + block.start;
    for (int64_t i = 0; i < block.columns; i += kWordColumns, codes += 128) {
      const int64_t bytes = std::min<int64_t>(4, row_bytes - i / 8);
      Bits s[kTiles], t[kTiles];
      for (int k = 0; k < kTiles; ++k) {
        const std::byte* at = codes + k * tile_bytes;
        _mm_prefetch(reinterpret_cast<const char*>(at + kTiles * tile_bytes), _MM_HINT_T1);
        _mm_prefetch(reinterpret_cast<const char*>(at + kTiles * tile_bytes + 64), _MM_HINT_T1);
        s[k] = V::bits(at, bytes), t[k] = V::bits(at + 16 * bytes, bytes);
      }
      if (has_plain(block, i)) {
        const Tables tables(*word++);
        for (int k = 0; k < kTiles; ++k) {
          tables.add(s[k], parts[k].plain[0]);
          tables.add(t[k], parts[k].plain[1]);
          tables.add(V::both(s[k], t[k]), parts[k].plain[2]);
        }
      }
      if (has_salient(block, i)) {
        const Tables tables(*word++);
        for (int k = 0; k < kTiles; ++k) {
          tables.add(s[k], parts[k].salient[0]);
          tables.add(t[k], parts[k].salient[1]);
        }
      }
    }
    return word;
  }

  Float level(int64_t at, PlaneLevel which) const {
    const int8_t place = w_.places[which];
    if (place < 0) return V::zero();
    const int64_t size = w_.level_scales == nullptr ? 2 : 1;
    return V::levels(w_.levels + (at * w_.level_count + place) * 16 * size, size == 1);
  }

  /// What a block of a tile adds to its rows' sums.
  Float block_part(int64_t at, const BlockTotals& total, const Sums& sums) const {
    const Float two = V::set(2);
    const Float a_c = level(at, kAlphaC), a_o = level(at, kAlphaO), a_1 = level(at, kAlpha1), a_2 = level(at, kAlpha2);
    const Float inner = V::sub(level(at, kMuC), a_c), outer = V::sub(level(at, kMuO), a_o);
    const Float low = V::sub(V::sub(level(at, kMuS), a_1), a_2);
    Float part = V::mul(inner, V::set(total.plain));
    part = V::fma(V::mul(two, a_c), sums.plain[0], part);
    part = V::fma(V::sub(outer, inner), sums.plain[1], part);
    part = V::fma(V::mul(two, V::sub(a_o, a_c)), sums.plain[2], part);
    part = V::fma(low, V::set(total.salient), part);
    part = V::fma(V::mul(two, a_1), sums.salient[0], part);
    return V::fma(V::mul(two, a_2), sums.salient[1], part);
  }

  const PlaneDotCall& call_;
  const PlaneTiles& w_;
};

template <class V>
void run_plane_dot(const PlaneDotCall& call) {
  if (call.exact) {
    PlaneLoop<V, 3>(call).run();
  } else {
    PlaneLoop<V, 2>(call).run();
  }
}

}  // namespace
}  // namespace bitloom
