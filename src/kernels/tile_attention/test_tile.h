#pragma once
// Random queries, each with keys of its own, for tests and benchmarks.

#include "kernels/cached_attention/test_cache.h"
#include "kernels/guarded.h"
#include "kernels/tile_attention/tile_attention.h"

namespace bitloom {

/// The last position is that of the last key, so that queries see fewer and fewer keys, the first perhaps none.
struct RandomTile : RandomCache {
  RandomTile(KvFormat kept, int64_t keys, int64_t heads, int64_t positions, int64_t head_dim, int64_t value_dim,
             int64_t window = 0)
      : RandomCache(kept, keys, heads * positions, head_dim, value_dim),
        scratch(static_cast<size_t>(tile_attention_scratch(head_dim, value_dim))) {
    tile.k = call.k, tile.v = call.v, tile.k_stride = call.k_stride, tile.v_stride = call.v_stride;
    tile.format = kept, tile.keys = keys, tile.head_dim = head_dim, tile.value_dim = value_dim;
    tile.heads = heads, tile.positions = positions, tile.q = call.q, tile.scale = call.scale;
    tile.position = keys - positions, tile.window = window;
    tile.most = call.most, tile.sum = call.sum, tile.values = call.values, tile.scratch = scratch.data();
  }

  testing::GuardedVector<float> scratch;
  TileAttentionCall tile;
};

}  // namespace bitloom
