#pragma once
// One view for every arrangement of queries, keys and values.

#include <cstdint>

#include "model/graph.h"

namespace bitloom {

/// Channels of head h at row r: data + r * row_stride + h * head_stride + h / group * skip, head_dim of them. Separate
/// projections, fused ones ([q | k | v] or per key head [q ..., k, v]) and a cache differ only in the strides.
struct HeadView {
  float* data = nullptr;
  int64_t row_stride = 0, head_stride = 0;
  int64_t group = 1, skip = 0;  // behind each `group` heads lie `skip` values of others
  float* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride + head / group * skip;
  }
};

struct QkvViews {
  HeadView q, k, v;
};

/// Views of a projection's output for `rows` rows. Separate layout: the buffer holds q [rows, heads * head_dim], then
/// k and v [rows, kv_heads * head_dim] each. Fused: one matrix [rows, (heads + 2 kv_heads) * head_dim]. Latent: q and k
/// [rows, heads * head_dim] each, then what kv_up gives, [rows, heads * (head_dim - rope_dim + value_dim)].
QkvViews qkv_views(const Attention& attention, float* buffer, int64_t rows);

/// fp32 values that such a buffer takes per row; of a latent layout room for what kv_down gives, in the place of k and
/// what follows.
int64_t qkv_width(const Attention& attention);

}  // namespace bitloom
