#pragma once
// The loops of the x86 kernels, written once. An ISA file defines a type V and calls run_cached_attention; everything
// here is in an unnamed namespace, so that no ISA's code is linked into another's.
//
//   V                                        as x86_softmax.h has it
//   V::kQueries                              queries that share each load of a key, as registers allow
//   V::sums(v[4])                            of the lanes of four vectors
//   V::widen<format>(p), widen_some(p, n)    kLanes channels at p, or n and zeros; codes without their scale
//   V::Scores                                products with keys of 8 bits in another way (x86_int_scores.h), of at most
//                                            Scores::kMostChannels channels; 0: none

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/cached_attention/cached_attention.h"
#include "kernels/cached_attention/x86_softmax.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

constexpr int64_t kTileKeys = 64;

/// What a tile of at most kTileKeys keys needs of all queries, and of those at work.
struct AttentionTileScores {
  alignas(64) float key_scales[kTileKeys];
  alignas(64) float value_scales[kTileKeys];
  alignas(64) float scores[4][kTileKeys];  // then what values are multiplied by
};

/// Where every product goes by channels.
struct NoScores {
  static constexpr int64_t kMostChannels = 0;
  void take_keys(const std::byte*, int64_t, int64_t, int64_t) {}
  template <int kQueries>
  void multiply(const float*, int64_t, float (*)[kTileKeys]) {}
};

template <class V, KvFormat kFormat>
class CachedAttentionLoop {
 public:
  explicit CachedAttentionLoop(const CachedAttentionCall& call)
      : call_(call), q_stride_(padded_channels(call.head_dim)), values_stride_(padded_channels(call.value_dim)) {}

  void run() {
    for (int64_t first = 0; first < call_.keys; first += kTileKeys) {
      k_ = call_.k + first * call_.k_stride, v_ = call_.v + first * call_.v_stride;
      first_ = first, keys_ = std::min(kTileKeys, call_.keys - first);
      if constexpr (kFormat == KvFormat::kInt8) gather_scales();
      if (by_integers()) scores_.take_keys(k_, call_.k_stride, keys_, call_.head_dim);
      int64_t g = 0;
      for (; g + V::kQueries <= call_.queries; g += V::kQueries) run_queries<V::kQueries>(g);
      run_last<V::kQueries - 1>(g);
    }
  }

 private:
  using Float = typename V::Float;
  static constexpr int64_t kBytes = kv_channel_bytes(kFormat);
  static constexpr int kKeys = 4;      // that share each load of a query
  static constexpr int kChannels = 4;  // vectors of channels that share each probability

  bool by_integers() const { return kFormat == KvFormat::kInt8 && call_.head_dim <= V::Scores::kMostChannels; }

  /// Queries from g on, kMost at most.
  template <int kMost>
  void run_last(int64_t g) {
    if (g + kMost == call_.queries) return run_queries<kMost>(g);
    if constexpr (kMost > 1) run_last<kMost - 1>(g);
  }

  void gather_scales() {
    for (int64_t j = 0; j < keys_; ++j) {
      std::memcpy(&tile_.key_scales[j], k_ + j * call_.k_stride + call_.head_dim, sizeof(float));
      std::memcpy(&tile_.value_scales[j], v_ + j * call_.v_stride + call_.value_dim, sizeof(float));
    }
    std::fill(tile_.key_scales + keys_, tile_.key_scales + kTileKeys, 0.0f);
    std::fill(tile_.value_scales + keys_, tile_.value_scales + kTileKeys, 0.0f);
  }

  template <int kQueries>
  void run_queries(int64_t g) {
    if (by_integers()) {
      scores_.template multiply<kQueries>(call_.q + g * q_stride_, q_stride_, tile_.scores);
    } else {
      for (int64_t j = 0; j < keys_; j += kKeys) multiply_keys<kQueries>(g, j);
    }
    float shrink[kQueries];
    for (int i = 0; i < kQueries; ++i) shrink[i] = soften(g + i, tile_.scores[i]);
    float* values = call_.values + g * values_stride_;
    const int64_t whole = call_.value_dim / V::kLanes * V::kLanes, rest = call_.value_dim - whole;
    int64_t c = 0;
    for (; c + kChannels * V::kLanes <= whole; c += kChannels * V::kLanes) {
      add_values<kQueries, kChannels>(c, V::kLanes, shrink, values + c);
    }
    for (; c < whole; c += V::kLanes) add_values<kQueries, 1>(c, V::kLanes, shrink, values + c);
    if (rest > 0) add_values<kQueries, 1>(c, rest, shrink, values + c);
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
    const float* q = call_.q + g * q_stride_;
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
    constexpr bool kScaled = kFormat == KvFormat::kInt8;
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
  void add_values(int64_t c, int64_t channels, const float* shrink, float* values) const {
    Float sums[kQueries][kVectors];
    for (int query = 0; query < kQueries; ++query) {
      for (int i = 0; i < kVectors; ++i) {
        sums[query][i] = V::mul(V::set(shrink[query]), V::load(values + query * values_stride_ + i * V::kLanes));
      }
    }
    const auto add = [&]<bool kWhole>() {
      const std::byte* v = v_ + c * kBytes;
      for (int64_t j = 0; j < keys_; ++j, v += call_.v_stride) {
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
  const std::byte *k_ = nullptr, *v_ = nullptr;  // of the tile
  int64_t first_ = 0, keys_ = 0;
  AttentionTileScores tile_;
  std::conditional_t<kFormat == KvFormat::kInt8, typename V::Scores, NoScores> scores_;
};

template <class V, KvFormat kFormat>
void run_cached_attention(const CachedAttentionCall& call) {
  CachedAttentionLoop<V, kFormat>(call).run();
}

}  // namespace
}  // namespace bitloom
