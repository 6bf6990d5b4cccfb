#pragma once
// Attention of a few queries that share a key head over keys and values as a cache keeps them: what a token adds to a
// text reads all of those before it once.
//
//   s[g, j] = cap(scale q_g . k_j + slope_g (j + distance))        g < queries, j < keys
//   most_g, sum_g, value_g[c] = max_j s[g, j],  sum_j e^(s[g, j] - most_g),  sum_j e^(s[g, j] - most_g) v_j[c]
//
// with cap(s) = softcap tanh(s / softcap), or s where softcap is 0. The call continues what is there, as if its keys
// followed others (online softmax: Milakov and Gimelshein, 2018, algorithm 3); parts of a text that were computed apart
// are put together in the same way. fp32 throughout; keys and values are what read_kv_head() makes of them. For
// integers of 8 bits queries, and what values are multiplied by, may be rounded to integers of 16.
//
// Goals: the speed of memory for heads of usual widths; a query's bits do not depend on the queries beside it.
// Non-goals: masks within a call; many queries (sgemm).

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "base/simd/cpu_features.h"
#include "kernels/cached_attention/kv_format.h"

namespace bitloom {

/// Channels of queries and values in memory: rows are padded, those of queries with zeros.
constexpr int64_t padded_channels(int64_t dim) { return (dim + 15) / 16 * 16; }

/// Keys or values that are read after a call.
struct CachedBytes {
  const std::byte* first = nullptr;
  int64_t bytes = 0;
};

struct CachedAttentionCall {
  const std::byte *k = nullptr, *v = nullptr;  // the head of the first key and value
  int64_t k_stride = 0, v_stride = 0;          // bytes from one key to the next
  int64_t keys = 0, head_dim = 0, value_dim = 0;
  int64_t queries = 0;
  const float* q = nullptr;  // [queries, padded_channels(head_dim)]
  float scale = 1, softcap = 0;
  const float* slopes = nullptr;          // [queries], or null: all 0
  int64_t distance = 0;                   // the first key's position less the queries'
  float *most = nullptr, *sum = nullptr;  // [queries]; of no keys kNoScore and 0
  float* values = nullptr;                // [queries, padded_channels(value_dim)]
  CachedBytes next_k, next_v;             // asked for on the way
};

/// Below every score; e^(kNoScore - s) is 0.
inline constexpr float kNoScore = -std::numeric_limits<float>::max();

using CachedAttentionKernel = void(const CachedAttentionCall& call);

/// One row of the list that dispatch, tests and benchmarks share.
struct CachedAttentionEntry {
  const char* name;
  CachedAttentionKernel* kernel;
  Isa isa;
  KvFormat format;
};

/// All kernels of this build, in the order of preference.
std::span<const CachedAttentionEntry> cached_attention_kernels();

/// The first that `isa` or a lower one allows.
const CachedAttentionEntry& find_cached_attention(Isa isa, KvFormat format);

}  // namespace bitloom
