#pragma once
// The loops of the x86 kernels, written once, over the vectors V of cached_attention/x86_<isa>.h. In an unnamed
// namespace, so that no ISA's code is linked into another's.
//
//   V::kTileVectors                  vectors of keys, or of channels, that kTileQueries queries multiply in registers
//   V::transpose(v[kLanes])          rows to columns

#include <algorithm>
#include <cstring>

#include "kernels/tile_attention/tile_attention.h"

namespace bitloom {
namespace {

constexpr int kTileQueries = 6;

template <class V>
class TileAttentionLoop {
 public:
  explicit TileAttentionLoop(const TileAttentionCall& call)
      : call_(call),
        q_stride_(padded_channels(call.head_dim)),
        values_stride_(padded_channels(call.value_dim)),
        k_(call.scratch),
        v_(k_ + kAttentionTileKeys * q_stride_) {}

  void run() {
    for (first_ = 0; first_ < call_.keys; first_ += kAttentionTileKeys) {
      keys_ = std::min(kAttentionTileKeys, call_.keys - first_);
      unpack();
      const int64_t queries = call_.heads * call_.positions;
      int64_t g = 0;
      // Together they multiply values that some may not see by 0, which a value that is not finite survives.
      for (; finite_ && g + kTileQueries <= queries; g += kTileQueries) run_queries<kTileQueries>(g);
      for (; g < queries; ++g) run_queries<1>(g);
    }
  }

 private:
  using Float = typename V::Float;
  static constexpr int64_t kTile = kAttentionTileKeys, kLanes = V::kLanes, kVectors = V::kTileVectors;

  void unpack() {
    switch (call_.format) {
      case KvFormat::kFp32:
        return unpack<KvFormat::kFp32>();
      case KvFormat::kFp16:
        return unpack<KvFormat::kFp16>();
      case KvFormat::kBf16:
        return unpack<KvFormat::kBf16>();
      case KvFormat::kInt8:
        return unpack<KvFormat::kInt8>();
      case KvFormat::kFp8:
        return unpack<KvFormat::kFp8>();
    }
  }

  template <KvFormat kFormat>
  void unpack() {
    for (int64_t j = 0; j < keys_; j += kLanes) {
      for (int64_t c = 0; c < call_.head_dim; c += kLanes) {
        Float rows[kLanes];
        for (int64_t i = 0; i < kLanes; ++i) {
          const int64_t key = first_ + std::min(j + i, keys_ - 1);
          rows[i] = channels<kFormat>(call_.k + key * call_.k_stride, call_.head_dim, c);
        }
        V::transpose(rows);
        for (int64_t i = 0; i < kLanes; ++i) V::store(k_ + (c + i) * kTile + j, rows[i]);
      }
    }
    Float nothing = V::zero();  // 0 x is NaN where x is not finite
    for (int64_t j = 0; j < keys_; ++j) {
      const std::byte* head = call_.v + (first_ + j) * call_.v_stride;
      for (int64_t c = 0; c < values_stride_; c += kLanes) {
        const Float values = channels<kFormat>(head, call_.value_dim, c);
        nothing = V::fma(values, V::zero(), nothing);
        V::store(v_ + j * values_stride_ + c, values);
      }
    }
    finite_ = V::sum(nothing) == 0;
  }

  /// A vector of a head's channels from c on; zeros behind the last.
  template <KvFormat kFormat>
  static Float channels(const std::byte* head, int64_t dim, int64_t c) {
    if (c >= dim) return V::zero();
    const std::byte* at = head + c * kv_channel_bytes(kFormat);
    const Float values =
        dim - c >= kLanes ? V::template widen<kFormat>(at) : V::template widen_some<kFormat>(at, dim - c);
    if constexpr (!kv_has_scale(kFormat)) return values;
    float scale;
    std::memcpy(&scale, head + dim, sizeof scale);
    return V::mul(values, V::set(scale * scale_unit(kFormat)));
  }

  /// Position of query g, counted from the tile's first key.
  int64_t position(int64_t g) const { return call_.position + g % call_.positions - first_; }

  /// Keys of the tile; none where they are equal.
  struct VisibleKeys {
    int64_t first, last;
  };
  VisibleKeys visible(int64_t g) const {
    const int64_t p = position(g), last = std::clamp<int64_t>(p + 1, 0, keys_);
    return {call_.window > 0 ? std::clamp<int64_t>(p - call_.window + 1, 0, last) : 0, last};
  }

  template <int kQueries>
  void run_queries(int64_t g) {
    VisibleKeys seen = {keys_, 0};  // by any
    for (int i = 0; i < kQueries; ++i) {
      const VisibleKeys one = visible(g + i);
      if (one.first < one.last) seen = {std::min(seen.first, one.first), std::max(seen.last, one.last)};
    }
    if (seen.first >= seen.last) return;
    alignas(64) float scores[kQueries][kTile];
    for (int64_t j = seen.first / kLanes * kLanes; j < seen.last; j += kVectors * kLanes) {
      multiply_keys<kQueries>(g, std::min(j, kTile - kVectors * kLanes), scores);
    }
    float shrink[kQueries];
    for (int i = 0; i < kQueries; ++i) shrink[i] = soften(g + i, scores[i]);
    float* values = call_.values + g * values_stride_;
    int64_t c = 0;
    for (; c + kVectors * kLanes <= values_stride_; c += kVectors * kLanes) {
      add_values<kQueries, kVectors>(seen, scores, shrink, c, values + c);
    }
    for (; c < values_stride_; c += kLanes) add_values<kQueries, 1>(seen, scores, shrink, c, values + c);
  }

  /// Products with kVectors vectors of keys from j on.
  template <int kQueries>
  void multiply_keys(int64_t g, int64_t j, float (&scores)[kQueries][kTile]) const {
    Float sums[kQueries][kVectors];
    for (auto& of_query : sums) {
      for (Float& sum : of_query) sum = V::zero();
    }
    const float* q = call_.q + g * q_stride_;
    for (int64_t c = 0; c < call_.head_dim; ++c) {
      Float keys[kVectors];
      for (int64_t v = 0; v < kVectors; ++v) keys[v] = V::load(k_ + c * kTile + j + v * kLanes);
      for (int i = 0; i < kQueries; ++i) {
        const Float x = V::set(q[i * q_stride_ + c]);
        for (int64_t v = 0; v < kVectors; ++v) sums[i][v] = V::fma(keys[v], x, sums[i][v]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      for (int64_t v = 0; v < kVectors; ++v) V::store(scores[i] + j + v * kLanes, sums[i][v]);
    }
  }

  /// Products of query g to what values are multiplied by; returns what the values before are multiplied by.
  float soften(int64_t g, float* row) const {
    const auto [first, last] = visible(g);
    float shrink = 1;
    if (first < last) {
      ScoreTerms terms = {.scale = call_.scale, .softcap = call_.softcap};
      if (call_.slopes != nullptr) terms.slope = call_.slopes[g / call_.positions], terms.distance = -position(g);
      shrink = soften_row<V>(terms, first, last, row, call_.most[g], call_.sum[g]);
    } else {
      std::fill(row, row + kTile, 0.0f);
    }
    return shrink;
  }

  template <int kQueries, int kCount>
  void add_values(const VisibleKeys& seen, const float (&scores)[kQueries][kTile], const float* shrink, int64_t c,
                  float* values) const {
    Float sums[kQueries][kCount];
    for (int i = 0; i < kQueries; ++i) {
      for (int v = 0; v < kCount; ++v) {
        sums[i][v] = V::mul(V::set(shrink[i]), V::load(values + i * values_stride_ + v * kLanes));
      }
    }
    for (int64_t j = seen.first; j < seen.last; ++j) {
      Float of_key[kCount];
      for (int v = 0; v < kCount; ++v) of_key[v] = V::load(v_ + j * values_stride_ + c + v * kLanes);
      for (int i = 0; i < kQueries; ++i) {
        const Float p = V::set(scores[i][j]);
        for (int v = 0; v < kCount; ++v) sums[i][v] = V::fma(of_key[v], p, sums[i][v]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      for (int v = 0; v < kCount; ++v) V::store(values + i * values_stride_ + v * kLanes, sums[i][v]);
    }
  }

  const TileAttentionCall& call_;
  int64_t q_stride_, values_stride_;
  float* k_;                      // [channels, kTile]
  float* v_;                      // [kTile, values_stride_]
  int64_t first_ = 0, keys_ = 0;  // of the tile
  bool finite_ = true;            // all its values
};

}  // namespace
}  // namespace bitloom
