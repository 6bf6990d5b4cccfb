#pragma once
// Attention of many queries that share a key head over keys and values as a cache keeps them: what a prompt asks of the
// text so far. What is computed and how a call continues is as in cached_attention.h; here every query sees keys of its
// own. Query (h, i) of head h stands at position p = position + i, counted from the call's first key:
//
//   s[h, i, j] = cap(scale q_hi . k_j + slope_h (j - p))        max(0, p - window + 1) <= j <= p, j < keys
//
// Keys and values are unpacked to fp32 a tile at a time, which stays in the caches while all queries pass it.
//
// Goals: the rate of fp32 products; no scores but those of a tile. Non-goals: few queries, for which to unpack does not
// pay; machines without vectors, where sgemm is as fast.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/cached_attention/cached_attention.h"

namespace bitloom {

struct TileAttentionCall {
  const std::byte *k = nullptr, *v = nullptr;  // the head of the first key and value
  int64_t k_stride = 0, v_stride = 0;          // bytes from one key to the next
  KvFormat format = KvFormat::kFp32;
  int64_t keys = 0, head_dim = 0, value_dim = 0;
  int64_t heads = 0, positions = 0;  // queries
  const float* q = nullptr;          // [heads, positions, padded_channels(head_dim)]
  float scale = 1, softcap = 0;
  const float* slopes = nullptr;          // [heads], or null: all 0
  int64_t position = 0;                   // of the first query less the first key's; may be negative
  int64_t window = 0;                     // 0: none
  float *most = nullptr, *sum = nullptr;  // [heads, positions]; of no keys kNoScore and 0
  float* values = nullptr;                // [heads, positions, padded_channels(value_dim)]
  float* scratch = nullptr;               // tile_attention_scratch() floats
};

inline constexpr int64_t kAttentionTileKeys = 64;
constexpr int64_t tile_attention_scratch(int64_t head_dim, int64_t value_dim) {
  return kAttentionTileKeys * (padded_channels(head_dim) + padded_channels(value_dim));
}

using TileAttentionKernel = void(const TileAttentionCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct TileAttentionEntry {
  const char* name;
  TileAttentionKernel* kernel;
  Isa isa;
};

/// All kernels of this build, in the order of preference.
std::span<const TileAttentionEntry> tile_attention_kernels();

/// The first that `isa` or a lower one allows; null when there is none.
const TileAttentionEntry* find_tile_attention(Isa isa);

}  // namespace bitloom
