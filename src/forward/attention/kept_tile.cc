#include "forward/attention/kept_tile.h"

#include <algorithm>

#include "forward/attention/attention.h"

namespace bitloom {
namespace {

int64_t rows_of(const AttentionCall& call, const AttentionTile& tile) {
  return call.heads / call.kv_heads * (tile.end - tile.begin);
}

/// Row h * (end - begin) + i is query begin + i of the h-th head of the group.
void gather_queries(const AttentionCall& call, const AttentionTile& tile, float* out) {
  const int64_t group = call.heads / call.kv_heads, padded = padded_channels(call.head_dim);
  for (int64_t h = 0; h < group; ++h) {
    for (int64_t i = tile.begin; i < tile.end; ++i, out += padded) {
      std::copy_n(call.q.at(tile.sequence->first_row + i, tile.kv_head * group + h), call.head_dim, out);
      std::fill(out + call.head_dim, out + padded, 0.0f);
    }
  }
}

/// A sink is a score from the start, whose value is 0.
void start(const AttentionCall& call, const AttentionTile& tile, const TileAttentionCall& kernel_call) {
  const int64_t group = call.heads / call.kv_heads, rows = rows_of(call, tile);
  std::fill_n(kernel_call.values, rows * padded_channels(call.values()), 0.0f);
  std::fill_n(kernel_call.most, rows, kNoScore), std::fill_n(kernel_call.sum, rows, 0.0f);
  if (call.sinks.empty()) return;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = tile.kv_head * group + row / kernel_call.positions;
    kernel_call.most[row] = call.sinks[static_cast<size_t>(head)], kernel_call.sum[row] = 1;
  }
}

void scatter_outputs(const AttentionCall& call, const AttentionTile& tile, const float* values, const float* sum) {
  const int64_t group = call.heads / call.kv_heads, dim = call.values();
  for (int64_t h = 0; h < group; ++h) {
    for (int64_t i = tile.begin; i < tile.end; ++i, values += padded_channels(dim), ++sum) {
      float* out = call.out + ((tile.sequence->first_row + i) * call.heads + tile.kv_head * group + h) * dim;
      const float inverse = 1.0f / *sum;
      for (int64_t c = 0; c < dim; ++c) out[c] = values[c] * inverse;
    }
  }
}

}  // namespace

int64_t kept_tile_scratch(const AttentionCall& call, const AttentionTile& tile) {
  const int64_t row = padded_channels(call.head_dim) + padded_channels(call.values()) + 2;
  return rows_of(call, tile) * row + tile_attention_scratch(call.head_dim, call.values());
}

void attend_kept_tile(const AttentionCall& call, const AttentionTile& tile, TileAttentionKernel* kernel,
                      float* scratch) {
  const int64_t group = call.heads / call.kv_heads, rows = rows_of(call, tile);
  float* queries = scratch;
  TileAttentionCall kernel_call;
  kernel_call.head_dim = call.head_dim, kernel_call.value_dim = call.values();
  kernel_call.heads = group, kernel_call.positions = tile.end - tile.begin;
  kernel_call.q = queries, kernel_call.scale = call.scale, kernel_call.softcap = call.softcap;
  if (!call.alibi.empty()) kernel_call.slopes = call.alibi.data() + tile.kv_head * group;
  kernel_call.window = call.window;
  kernel_call.values = queries + rows * padded_channels(call.head_dim);
  kernel_call.most = kernel_call.values + rows * padded_channels(call.values());
  kernel_call.sum = kernel_call.most + rows, kernel_call.scratch = kernel_call.sum + rows;
  gather_queries(call, tile, queries);
  start(call, tile, kernel_call);
  int64_t position = 0;
  for (const KvRun& run : call.pass->runs(*tile.sequence)) {
    const int64_t low = std::max(position, tile.first_key), high = std::min(position + run.rows, tile.last_key);
    if (low < high) {
      const auto& [keys, values, format] = run.page[static_cast<size_t>(call.block)];
      const int64_t k_bytes = kv_head_bytes(format, call.head_dim), v_bytes = kv_head_bytes(format, call.values());
      const int64_t row = run.first + low - position;
      kernel_call.format = format, kernel_call.keys = high - low;
      kernel_call.k_stride = call.kv_heads * k_bytes, kernel_call.v_stride = call.kv_heads * v_bytes;
      kernel_call.k = keys + row * kernel_call.k_stride + tile.kv_head * k_bytes;
      kernel_call.v = values + row * kernel_call.v_stride + tile.kv_head * v_bytes;
      kernel_call.position = tile.position(tile.begin) - low;
      kernel(kernel_call);
    }
    position += run.rows;
  }
  scatter_outputs(call, tile, kernel_call.values, kernel_call.sum);
}

}  // namespace bitloom
