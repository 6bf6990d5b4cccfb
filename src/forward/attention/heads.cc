#include "forward/attention/heads.h"

#include <algorithm>

namespace bitloom {

int64_t qkv_width(const Attention& attention) {
  if (attention.layout == QkvLayout::kLatent) {
    const LatentAttention& latent = attention.latent;
    const int64_t k = attention.head_dim, kv = k - latent.rope_dim + attention.values();
    return attention.heads * k + std::max(attention.heads * (k + kv), latent.rank + latent.rope_dim);
  }
  return (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
}

QkvViews qkv_views(const Attention& attention, float* buffer, int64_t rows) {
  const int64_t dim = attention.head_dim;
  const int64_t q_width = attention.heads * dim, kv_width = attention.kv_heads * dim, all = q_width + 2 * kv_width;
  switch (attention.layout) {
    case QkvLayout::kSeparate:
      break;
    case QkvLayout::kLatent: {
      const int64_t unturned = dim - attention.latent.rope_dim, per_head = unturned + attention.values();
      float* kv = buffer + 2 * rows * q_width;
      return {{buffer, q_width, dim},
              {buffer + rows * q_width, q_width, dim},
              {kv + unturned, attention.heads * per_head, per_head}};
    }
    case QkvLayout::kConcatenated:
      return {{buffer, all, dim}, {buffer + q_width, all, dim}, {buffer + q_width + kv_width, all, dim}};
    case QkvLayout::kPerHead: {
      const int64_t group = attention.heads / attention.kv_heads, stride = (group + 2) * dim;
      float* k = buffer + group * dim;
      return {{buffer, all, dim, group, 2 * dim}, {k, all, stride}, {k + dim, all, stride}};
    }
  }
  float* k = buffer + rows * q_width;
  return {{buffer, q_width, dim}, {k, kv_width, dim}, {k + rows * kv_width, kv_width, dim}};
}

}  // namespace bitloom
