#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V and calls run_cached_attention; everything
// here is in an unnamed namespace, so that no ISA's code is linked into another's.
//
//   V                                        as x86_softmax.h has it
//   V::kQueries                              queries that share each load of a key, as registers allow
//   V::sums(v[4])                            of the lanes of four vectors
//   V::widen<format>(p), widen_some(p, n)    kLanes channels at p, or n and zeros; without their scale, and of E4M3
//                                            divided by kE4m3Unit
//   V::IntScores, V::IntValues               products with keys and values of 8 bits in another way
//                                            (x86_int_products.h), of at most kMostChannels channels; 0: none

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/cached_attention/x86_bytes_ahead.h"
#include "kernels/cached_attention/x86_softmax.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

// E4M3 (bias 7, three bits behind the point) seven bits higher, its sign in front, is the fp16 (bias 15, ten bits) of
// 2^-8 times as much, subnormal numbers included. The mask keeps all but what moving the sign has put beside it.
constexpr int16_t kE4m3Half = static_cast<int16_t>(0xbfff);
constexpr float kE4m3Unit = 256;
/// What scales are multiplied by where channels come from V::widen().
constexpr float scale_unit(KvFormat format) { return format == KvFormat::kFp8 ? kE4m3Unit : 1.0f; }

constexpr int64_t kCallQueries = 16;  // that pass all keys together

/// What a tile of at most kTileKeys keys needs of all queries, and of those at work.
struct AttentionTileScores {
  alignas(64) float key_scales[kTileKeys];
  alignas(64) float value_scales[kTileKeys];
  alignas(64) float scores[4][kTileKeys];  // then what values are multiplied by
};

/// Where every product goes by channels.
struct NoIntProducts {
  static constexpr int64_t kMostChannels = 0;
  void take_queries(const float*, int64_t, int64_t, int64_t) {}
  void take_keys(const std::byte*, int64_t, int64_t, int64_t) {}
  void take_values(const std::byte*, int64_t, int64_t, int64_t) {}
  static int64_t steps(int64_t) { return 1; }
  template <int kQueries>
  void multiply(int64_t, float (*)[kTileKeys], BytesAhead&) const {}
  template <int kQueries>
  void add(const float (*)[kTileKeys], const float*, float*, int64_t, BytesAhead&) const {}
};

template <class V, KvFormat kFormat>
class CachedAttentionLoop {
 public:
  explicit CachedAttentionLoop(const CachedAttentionCall& call)
      : call_(call), q_stride_(padded_channels(call.head_dim)), values_stride_(padded_channels(call.value_dim)) {}

  void run() {
    for (begin_ = 0; begin_ < call_.queries; begin_ = end_) {
      end_ = std::min(begin_ + kCallQueries, call_.queries);
      if (has_int_scores()) scores_.take_queries(query(begin_), q_stride_, end_ - begin_, call_.head_dim);
      for (first_ = 0; first_ < call_.keys; first_ += kTileKeys) run_tile();
    }
  }

 private:
  using Float = typename V::Float;
  static constexpr bool kScaled = kv_has_scale(kFormat), kCodes = kFormat == KvFormat::kInt8;
  using Scores = std::conditional_t<kCodes, typename V::IntScores, NoIntProducts>;
  using Values = std::conditional_t<kCodes, typename V::IntValues, NoIntProducts>;
  static constexpr int64_t kBytes = kv_channel_bytes(kFormat);
  static constexpr int kKeys = 4;      // that share each load of a query
  static constexpr int kChannels = 4;  // vectors of channels that share each probability

  bool has_int_scores() const { return call_.head_dim <= Scores::kMostChannels; }
  bool has_int_values() const { return call_.value_dim <= Values::kMostChannels; }
  const float* query(int64_t g) const { return call_.q + g * q_stride_; }

  /// Queries [begin_, end_) and the keys from first_ on, of a tile.
  void run_tile() {
    k_ = call_.k + first_ * call_.k_stride, v_ = call_.v + first_ * call_.v_stride;
    keys_ = std::min(kTileKeys, call_.keys - first_);
    if constexpr (kScaled) gather_scales();
    if (has_int_scores()) scores_.take_keys(k_, call_.k_stride, keys_, call_.head_dim);
    if (has_int_values()) values_.take_values(v_, call_.v_stride, keys_, call_.value_dim);
    int64_t g = begin_;
    for (; g + V::kQueries <= end_; g += V::kQueries) run_queries<V::kQueries>(g);
    run_last<V::kQueries - 1>(g);
  }

  /// Queries from g on, kMost at most.
  template <int kMost>
  void run_last(int64_t g) {
    if (g + kMost == end_) return run_queries<kMost>(g);
    if constexpr (kMost > 1) run_last<kMost - 1>(g);
  }

  void gather_scales() {
    for (int64_t j = 0; j < keys_; ++j) {
      std::memcpy(&tile_.key_scales[j], k_ + j * call_.k_stride + call_.head_dim, sizeof(float));
      std::memcpy(&tile_.value_scales[j], v_ + j * call_.v_stride + call_.value_dim, sizeof(float));
    }
    constexpr float kUnit = scale_unit(kFormat);
    if constexpr (kUnit != 1) {
      for (int64_t j = 0; j < keys_; ++j) tile_.key_scales[j] *= kUnit, tile_.value_scales[j] *= kUnit;
    }
    if (keys_ == kTileKeys) return;
    std::fill(tile_.key_scales + keys_, tile_.key_scales + kTileKeys, 0.0f);
    std::fill(tile_.value_scales + keys_, tile_.value_scales + kTileKeys, 0.0f);
  }

  /// Of what is read after the call, the share that queries [g, g + count) ask for beside the tile, in `steps` steps.
  BytesAhead ahead(const CachedBytes& next, int64_t g, int64_t count, int64_t steps) const {
    const int64_t shares = call_.queries * call_.keys;
    const auto place = [&](int64_t query) { return next.bytes * (call_.queries * first_ + query * keys_) / shares; };
    const int64_t begin = place(g);
    return {next.first + begin, place(g + count) - begin, steps};
  }

  template <int kQueries>
  void run_queries(int64_t g) {
    BytesAhead keys =
        ahead(call_.next_k, g, kQueries, has_int_scores() ? scores_.steps(kQueries) : (keys_ + kKeys - 1) / kKeys);
    if (has_int_scores()) {
      scores_.template multiply<kQueries>(g - begin_, tile_.scores, keys);
    } else {
      for (int64_t j = 0; j < keys_; j += kKeys) keys.fetch(), multiply_keys<kQueries>(g, j);
    }
    float shrink[kQueries];
    for (int i = 0; i < kQueries; ++i) shrink[i] = soften(g + i, tile_.scores[i]);
    float* values = call_.values + g * values_stride_;
    BytesAhead next = ahead(call_.next_v, g, kQueries, has_int_values() ? values_.steps(kQueries) : keys_);
    if (has_int_values()) return values_.template add<kQueries>(tile_.scores, shrink, values, values_stride_, next);
    const int64_t whole = call_.value_dim / V::kLanes * V::kLanes, rest = call_.value_dim - whole;
    int64_t c = 0;
    for (; c + kChannels * V::kLanes <= whole; c += kChannels * V::kLanes) {
      add_values<kQueries, kChannels>(c, V::kLanes, shrink, values + c, next);
    }
    for (; c < whole; c += V::kLanes) add_values<kQueries, 1>(c, V::kLanes, shrink, values + c, next);
    if (rest > 0) add_values<kQueries, 1>(c, rest, shrink, values + c, next);
  }

  template <bool kWhole>
  static Float widen(const std::byte* p, int64_t count) {
    if constexpr (kWhole) return V::template widen<kFormat>(p);
    return V::template widen_some<kFormat>(p, count);
  }

  /// Products of queries g, g + 1, ... with keys j to j + 3; those behind the last are the last.
  template <int kQueries>
  void multiply_keys(int64_t g, int64_t j) {
    const std::byte* keys[kKeys];
    for (int i = 0; i < kKeys; ++i) keys[i] = k_ + std::min(j + i, keys_ - 1) * call_.k_stride;
    Float sums[kQueries][kKeys];
    for (auto& of_query : sums) {
      for (Float& sum : of_query) sum = V::zero();
    }
    const float* q = query(g);
    const auto add = [&]<bool kWhole>(int64_t c, int64_t count) {
      Float channels[kKeys];
      for (int i = 0; i < kKeys; ++i) channels[i] = widen<kWhole>(keys[i] + c * kBytes, count);
      for (int query = 0; query < kQueries; ++query) {
        const Float x = V::load(q + query * q_stride_ + c);
        for (int i = 0; i < kKeys; ++i) sums[query][i] = V::fma(channels[i], x, sums[query][i]);
      }
    };
    const int64_t whole = call_.head_dim / V::kLanes * V::kLanes;
    for (int64_t c = 0; c < whole; c += V::kLanes) add.template operator()<true>(c, V::kLanes);
    if (whole < call_.head_dim) add.template operator()<false>(whole, call_.head_dim - whole);
    for (int query = 0; query < kQueries; ++query) _mm_store_ps(tile_.scores[query] + j, V::sums(sums[query]));
  }

  /// Products of a query to what its values are multiplied by; returns what the values before are multiplied by.
  float soften(int64_t g, float* row) {
    const ScoreTerms terms = {.scale = call_.scale,
                              .softcap = call_.softcap,
                              .slope = call_.slopes == nullptr ? 0.0f : call_.slopes[g],
                              .distance = first_ + call_.distance,
                              .key_scales = kScaled ? tile_.key_scales : nullptr,
                              .value_scales = kScaled ? tile_.value_scales : nullptr};
    return soften_row<V>(terms, 0, keys_, row, call_.most[g], call_.sum[g]);
  }

  /// values [queries, values_stride_] <- values shrink + probabilities V, of kVectors vectors of channels from c on.
  template <int kQueries, int kVectors>
  void add_values(int64_t c, int64_t channels, const float* shrink, float* values, BytesAhead& next) const {
    Float sums[kQueries][kVectors];
    for (int query = 0; query < kQueries; ++query) {
      for (int i = 0; i < kVectors; ++i) {
        sums[query][i] = V::mul(V::set(shrink[query]), V::load(values + query * values_stride_ + i * V::kLanes));
      }
    }
    const auto add = [&]<bool kWhole>() {
      const std::byte* v = v_ + c * kBytes;
      for (int64_t j = 0; j < keys_; ++j, v += call_.v_stride) {
        next.fetch();
        Float of_key[kVectors];
        for (int i = 0; i < kVectors; ++i) of_key[i] = widen<kWhole>(v + i * V::kLanes * kBytes, channels);
        for (int query = 0; query < kQueries; ++query) {
          const Float p = V::set(tile_.scores[query][j]);
          for (int i = 0; i < kVectors; ++i) sums[query][i] = V::fma(of_key[i], p, sums[query][i]);
        }
      }
    };
    channels == V::kLanes ? add.template operator()<true>() : add.template operator()<false>();
    for (int query = 0; query < kQueries; ++query) {
      for (int i = 0; i < kVectors; ++i) V::store(values + query * values_stride_ + i * V::kLanes, sums[query][i]);
    }
  }

  const CachedAttentionCall& call_;
  int64_t q_stride_, values_stride_;
  int64_t begin_ = 0, end_ = 0;                  // queries that pass the keys
  const std::byte *k_ = nullptr, *v_ = nullptr;  // of the tile
  int64_t first_ = 0, keys_ = 0;
  AttentionTileScores tile_;
  Scores scores_;
  Values values_;
};

template <class V, KvFormat kFormat>
void run_cached_attention(const CachedAttentionCall& call) {
  CachedAttentionLoop<V, kFormat>(call).run();
}

}  // namespace
}  // namespace bitloom
