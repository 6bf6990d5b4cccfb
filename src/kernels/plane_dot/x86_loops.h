#pragma once
// The loops of the x86 kernels. In an unnamed namespace, as nibble_table.h. An ISA's type V has
//
//   V::Float, V::Int             16 floats or integers, a row in each lane; zero(), set(f), sub, mul, fma(a, b, c) = a
//   b + c;
//                                int_sub, twice(Int), to_float(Int)
//   V::levels(p, fp8)            16 levels at p: F16, or a 256th of E4M3
//   V::store(y, rows, Float)     the first rows of them
//   V::Bits                      the nibbles of one word of 16 rows; V::bits(codes, bytes of a row), V::both(a, b)
//   V::Tables<kPlanes>           a word's tables, made of its digits; add(Bits, V::Sums<kPlanes>&)
//   V::Sums<kPlanes>             of digits; 0 at first; total()
//   V::tiles(kPlanes)            tiles whose sums are in registers together

#include <algorithm>

#include "kernels/plane_dot/plane_words.h"
#include "kernels/x86_intrinsics.h"

namespace bitloom {
namespace {

template <class V, int kPlanes>
class PlaneLoop {
 public:
  explicit PlaneLoop(const PlaneDotCall& call) : call_(call), w_(call.w) {}

  void run() const {
    constexpr int kTiles = V::tiles(kPlanes);
    auto* inputs = reinterpret_cast<SegmentInputs*>(call_.scratch);
    auto* words = reinterpret_cast<Word*>(call_.scratch + inputs_bytes(w_));
    for (int64_t t = 0; t < call_.tokens; ++t) {
      Word* next = words;
      prepare_planes(w_, call_.x + t * w_.cols, inputs, [&](const WordSums* sums, int count) {
        const float scale = round_words(sums, count, next);
        next += count;
        return scale;
      });
      float* y = call_.y + t * call_.y_stride;
      int64_t tile = call_.first;
      for (; tile + kTiles <= call_.last; tile += kTiles) tiles<kTiles>(inputs, words, tile, y);
      for (; tile < call_.last; ++tile) tiles<1>(inputs, words, tile, y);
    }
  }

 private:
  using Word = WordDigits<kPlanes>;
  using Float = typename V::Float;
  using Int = typename V::Int;
  using Bits = typename V::Bits;
  using Sums = typename V::template Sums<kPlanes>;
  using Tables = typename V::template Tables<kPlanes>;

  template <int kTiles>
  void tiles(const SegmentInputs* x, const Word* word, int64_t tile, float* y) const {
    Float sums[kTiles];
    for (Float& sum : sums) sum = V::zero();
    const auto blocks = static_cast<int64_t>(w_.layout->blocks.size());
    for (int64_t b = 0; b < blocks; ++b) {
      const PlaneLayout::Block& block = w_.layout->blocks[static_cast<size_t>(b)];
      const std::byte* codes = w_.codes + tile * w_.layout->tile_bytes + block.start;
      for_each_segment(block, [&](const Segment& segment) {
        add_plain<kTiles>(block, segment, codes, word, x->plain, tile * blocks + b, sums);
        add_salient<kTiles>(block, segment, codes, word, x->salient, tile * blocks + b, sums);
        ++x;
      });
    }
    for (int k = 0; k < kTiles; ++k) {
      const int64_t row = 16 * (tile + k), rows = std::min<int64_t>(16, w_.rows - row);
      if (w_.level_scales != nullptr) {
        alignas(32) uint16_t scales[16] = {};
        std::memcpy(scales, w_.level_scales + 2 * row, static_cast<size_t>(2 * rows));
        sums[k] = V::mul(sums[k], V::mul(V::set(256), V::levels(reinterpret_cast<const std::byte*>(scales), false)));
      }
      V::store(y + row, rows, sums[k]);
    }
  }

  /// Signs and seconds of 16 rows, a word from column i of a block on.
  struct Pair {
    Bits s, t;
    Pair(const PlaneLayout::Block& block, const std::byte* codes, int64_t i) {
      const int64_t bytes = std::min<int64_t>(4, block.row_bytes() - i / 8);
      codes += 4 * i;
      s = V::bits(codes, bytes), t = V::bits(codes + 16 * bytes, bytes);
    }
  };

  template <int kTiles>
  void add_plain(const PlaneLayout::Block& block, const Segment& segment, const std::byte* codes, const Word*& word,
                 const SegmentInput& x, int64_t at, Float (&y)[kTiles]) const {
    if (segment.first >= segment.plain_words()) return;
    const int64_t stride = w_.layout->tile_bytes;
    Sums s[kTiles], t[kTiles], u[kTiles];
    for (int64_t i = segment.first; i < segment.plain_words(); i += kWordColumns) {
      const Tables tables(*word++);
      for (int k = 0; k < kTiles; ++k) {
        const auto* ahead = reinterpret_cast<const char*>(codes + (k + kTiles) * stride + 4 * i);
        _mm_prefetch(ahead, _MM_HINT_T1);
        _mm_prefetch(ahead + 64, _MM_HINT_T1);
        const Pair bits(block, codes + k * stride, i);
        tables.add(bits.s, s[k]);
        tables.add(bits.t, t[k]);
        tables.add(V::both(bits.s, bits.t), u[k]);
      }
    }
    const auto blocks = static_cast<int64_t>(w_.layout->blocks.size());
    for (int k = 0; k < kTiles; ++k, at += blocks) {
      const Int both = u[k].total(), seconds = t[k].total();
      const Float outer = V::to_float(seconds), inner = V::sub(V::set(x.total), outer);
      const Float plus = V::to_float(V::twice(V::int_sub(s[k].total(), both)));
      Float part = V::mul(level(at, kMuC), inner);
      part = V::fma(level(at, kAlphaC), V::sub(plus, inner), part);
      part = V::fma(level(at, kMuO), outer, part);
      part = V::fma(level(at, kAlphaO), V::to_float(V::int_sub(V::twice(both), seconds)), part);
      y[k] = V::fma(V::set(x.scale), part, y[k]);
    }
  }

  template <int kTiles>
  void add_salient(const PlaneLayout::Block& block, const Segment& segment, const std::byte* codes, const Word*& word,
                   const SegmentInput& x, int64_t at, Float (&y)[kTiles]) const {
    if (segment.salient_words() >= segment.last) return;
    const int64_t stride = w_.layout->tile_bytes;
    Sums s[kTiles], t[kTiles];
    for (int64_t i = segment.salient_words(); i < segment.last; i += kWordColumns) {
      const Tables tables(*word++);
      for (int k = 0; k < kTiles; ++k) {
        const Pair bits(block, codes + k * stride, i);
        tables.add(bits.s, s[k]);
        tables.add(bits.t, t[k]);
      }
    }
    const auto blocks = static_cast<int64_t>(w_.layout->blocks.size());
    for (int k = 0; k < kTiles; ++k, at += blocks) {
      const Float all = V::set(x.total);
      Float part = V::mul(level(at, kMuS), all);
      part = V::fma(level(at, kAlpha1), V::sub(V::to_float(V::twice(s[k].total())), all), part);
      part = V::fma(level(at, kAlpha2), V::sub(V::to_float(V::twice(t[k].total())), all), part);
      y[k] = V::fma(V::set(x.scale), part, y[k]);
    }
  }

  Float level(int64_t at, PlaneLevel which) const {
    const int8_t place = w_.places[which];
    if (place < 0) return V::zero();
    const int64_t size = w_.level_scales == nullptr ? 2 : 1;
    return V::levels(w_.levels + (at * w_.level_count + place) * 16 * size, size == 1);
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
