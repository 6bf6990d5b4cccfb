#pragma once
// Random queries over a random cache, for tests and benchmarks.

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/cached_attention/cached_attention.h"
#include "kernels/guarded.h"

namespace bitloom {

struct RandomCache {
  /// `kv_heads` heads side by side, of which the call reads the last.
  RandomCache(KvFormat format, int64_t keys, int64_t queries, int64_t head_dim, int64_t value_dim, float largest = 1,
              int64_t kv_heads = 2) {
    Rng rng(static_cast<uint64_t>(keys * 1009 + head_dim * 31 + queries), 0x6361636865);
    const auto fill = [&rng](float* to, int64_t count, float scale) {
      for (int64_t i = 0; i < count; ++i) to[i] = scale * static_cast<float>(rng.normal());
    };
    const auto write = [&](int64_t dim, float scale, testing::GuardedVector<std::byte>& to) {
      std::vector<float> head(static_cast<size_t>(dim));
      to.resize(static_cast<size_t>(keys * kv_heads * kv_head_bytes(format, dim)));
      for (int64_t i = 0; i < keys * kv_heads; ++i) {
        fill(head.data(), dim, scale);
        write_kv_head(format, head.data(), dim, to.data() + i * kv_head_bytes(format, dim));
      }
      return kv_heads * kv_head_bytes(format, dim);
    };
    call.k_stride = write(head_dim, 1, k), call.v_stride = write(value_dim, largest, v);
    call.k = k.data() + call.k_stride / kv_heads * (kv_heads - 1);
    call.v = v.data() + call.v_stride / kv_heads * (kv_heads - 1);
    call.keys = keys, call.queries = queries, call.head_dim = head_dim, call.value_dim = value_dim;
    q.resize(static_cast<size_t>(queries * padded_channels(head_dim)));
    for (int64_t g = 0; g < queries; ++g) fill(q.data() + g * padded_channels(head_dim), head_dim, 1);
    call.q = q.data(), call.scale = 0.5f;
    most.resize(static_cast<size_t>(queries)), sum.resize(most.size());
    values.resize(static_cast<size_t>(queries * padded_channels(value_dim)));
    call.most = most.data(), call.sum = sum.data(), call.values = values.data();
    start();
  }
  RandomCache(const RandomCache&) = delete;

  /// No keys yet.
  void start() { most.assign(most.size(), kNoScore), sum.assign(sum.size(), 0.0f), values.assign(values.size(), 0.0f); }

  testing::GuardedVector<std::byte> k, v;
  testing::GuardedVector<float> q, most, sum, values;
  CachedAttentionCall call;
};

}  // namespace bitloom
