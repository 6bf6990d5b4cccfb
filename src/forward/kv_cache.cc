#include "forward/decoder.h"

namespace bitloom {

// Rows are reserved, not touched: a cache takes memory as it fills.
KvCache::KvCache(const Graph& graph, int64_t capacity) : capacity_(capacity) {
  keys_.resize(graph.blocks.size());
  values_.resize(graph.blocks.size());
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    const Attention& attention = graph.blocks[i].attention;
    const size_t width = static_cast<size_t>(attention.kv_heads * attention.head_dim);
    keys_[i].reserve(static_cast<size_t>(capacity) * width);
    values_[i].reserve(static_cast<size_t>(capacity) * width);
  }
}

}  // namespace bitloom
