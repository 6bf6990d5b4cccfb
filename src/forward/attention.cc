#include "forward/attention.h"

#include <algorithm>
#include <cassert>

#include "forward/softmax.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

// Rows of one score tile: query rows times the query heads that share a key head. Large enough for the packing of keys
// to pay in sgemm, small enough for a tile of 2048 keys (1 MiB) to stay in the second-level cache.
constexpr int64_t kTileRows = 128;

// One tile: queries [begin, end) of one sequence, for all heads of one key head. They see keys [first_key, last_key).
struct Tile {
  int64_t sequence, kv_head, begin, end, first_key, last_key;
};

struct Shape {
  int64_t group, tile_queries, tiles;  // query heads per key head; queries per tile; tiles per sequence
};

Shape shape_of(const AttentionCall& call) {
  const int64_t group = call.heads / call.kv_heads;
  const int64_t queries = std::clamp<int64_t>(kTileRows / group, 1, std::max<int64_t>(call.queries, 1));
  return {group, queries, (call.queries + queries - 1) / queries};
}

// First key that the query at `position` sees.
int64_t first_visible(const AttentionCall& call, int64_t position) {
  return call.window > 0 ? std::max<int64_t>(0, position - call.window + 1) : 0;
}

// Tiles are numbered so that the longest (last) queries start first: the threads then finish together.
Tile tile_at(const AttentionCall& call, const Shape& shape, int64_t index) {
  const int64_t pairs = call.batch * call.kv_heads;
  const int64_t t = shape.tiles - 1 - index / pairs, pair = index % pairs;
  const int64_t begin = t * shape.tile_queries, end = std::min(call.queries, begin + shape.tile_queries);
  const int64_t offset = call.keys - call.queries;
  return {pair / call.kv_heads, pair % call.kv_heads, begin, end, first_visible(call, offset + begin), offset + end};
}

// Row g * (end - begin) + i of the tile is query begin + i of the g-th head of the group.
void gather_queries(const AttentionCall& call, const Shape& shape, const Tile& tile, float* out) {
  for (int64_t g = 0; g < shape.group; ++g) {
    for (int64_t i = tile.begin; i < tile.end; ++i, out += call.head_dim) {
      const float* q = call.q.at(tile.sequence * call.queries + i, tile.kv_head * shape.group + g);
      std::copy_n(q, call.head_dim, out);
    }
  }
}

// Scores to unnormalised probabilities, keys that the query does not see to 0. Returns the sum of the row.
float mask_and_exp(const AttentionCall& call, const Tile& tile, int64_t query, float* row) {
  const int64_t position = call.keys - call.queries + query;
  const int64_t low = first_visible(call, position) - tile.first_key, high = position + 1 - tile.first_key;
  if (call.softcap > 0.0f) soft_cap(call.softcap, row + low, high - low);
  const float total = exp_shifted(row + low, high - low);
  std::fill(row, row + low, 0.0f);
  std::fill(row + high, row + (tile.last_key - tile.first_key), 0.0f);
  return total;
}

void scatter_outputs(const AttentionCall& call, const Shape& shape, const Tile& tile, const float* values,
                     const float* totals) {
  for (int64_t g = 0; g < shape.group; ++g) {
    for (int64_t i = tile.begin; i < tile.end; ++i, values += call.head_dim, ++totals) {
      const int64_t row = tile.sequence * call.queries + i, head = tile.kv_head * shape.group + g;
      float* out = call.out + (row * call.heads + head) * call.head_dim;
      const float inverse = 1.0f / *totals;
      for (int64_t c = 0; c < call.head_dim; ++c) out[c] = values[c] * inverse;
    }
  }
}

int64_t scratch_size(const AttentionCall& call, const Shape& shape) {
  return shape.group * shape.tile_queries * (call.keys + 2 * call.head_dim + 1);
}

void run_tile(const AttentionCall& call, const Shape& shape, const Tile& tile, float* scratch) {
  const int64_t queries = tile.end - tile.begin, rows = shape.group * queries, dim = call.head_dim;
  const int64_t keys = tile.last_key - tile.first_key, first = tile.sequence * call.keys + tile.first_key;
  float* gathered = scratch;              // [rows, dim]
  float* values = gathered + rows * dim;  // [rows, dim]
  float* totals = values + rows * dim;    // [rows]
  float* scores = totals + rows;          // [rows, keys]
  gather_queries(call, shape, tile, gathered);
  sgemm(Transpose::kNo, Transpose::kYes, rows, keys, dim, call.scale, gathered, dim, call.k.at(first, tile.kv_head),
        call.k.row_stride, 0.0f, scores, keys);
  for (int64_t row = 0; row < rows; ++row) {
    totals[row] = mask_and_exp(call, tile, tile.begin + row % queries, scores + row * keys);
  }
  sgemm(Transpose::kNo, Transpose::kNo, rows, dim, keys, 1.0f, scores, keys, call.v.at(first, tile.kv_head),
        call.v.row_stride, 0.0f, values, dim);
  scatter_outputs(call, shape, tile, values, totals);
}

}  // namespace

void attention(const AttentionCall& call, AttentionScratch& scratch, ThreadPool& threads) {
  assert(call.heads % call.kv_heads == 0 && call.queries <= call.keys);
  const Shape shape = shape_of(call);
  const size_t needed = static_cast<size_t>(scratch_size(call, shape));
  scratch.per_thread.resize(static_cast<size_t>(threads.thread_count()));
  for (std::vector<float>& buffer : scratch.per_thread) {
    if (buffer.size() < needed) buffer.resize(needed);
  }
  threads.parallel_for_thread(call.batch * call.kv_heads * shape.tiles, [&](int64_t index, int thread) {
    run_tile(call, shape, tile_at(call, shape, index), scratch.per_thread[static_cast<size_t>(thread)].data());
  });
}

}  // namespace bitloom
