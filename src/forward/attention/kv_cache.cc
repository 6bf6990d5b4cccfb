#include <algorithm>
#include <cassert>

#include "forward/decoder.h"

namespace bitloom {

KvCache::KvCache(const Graph& graph, int64_t capacity, KvFormat format) : capacity_(0), format_(format) {
  for (const Block& block : graph.blocks) {
    const Attention& attention = block.attention;
    widths_.push_back({attention.kv_heads * kv_head_bytes(format, attention.head_dim),
                       attention.kv_heads * kv_head_bytes(format, attention.values())});
  }
  keys_.resize(widths_.size());
  values_.resize(widths_.size());
  rows_.resize(widths_.size());
  reserve(capacity);
}

void KvCache::ensure(int64_t tokens) {
  if (tokens > capacity_) reserve(std::max(tokens, 2 * capacity_));
}

// Rows are reserved, not touched: a cache takes memory as it fills.
void KvCache::reserve(int64_t capacity) {
  capacity_ = std::max(capacity_, capacity);
  for (size_t i = 0; i < widths_.size(); ++i) {
    keys_[i].reserve(static_cast<size_t>(capacity_ * widths_[i].keys));
    values_[i].reserve(static_cast<size_t>(capacity_ * widths_[i].values));
  }
}

KvPage KvCache::page(int64_t rows) {
  for (size_t i = 0; i < widths_.size(); ++i) {
    const auto keys = static_cast<size_t>(rows * widths_[i].keys),
               values = static_cast<size_t>(rows * widths_[i].values);
    if (keys_[i].size() < keys) keys_[i].resize(keys);
    if (values_[i].size() < values) values_[i].resize(values);
    rows_[i] = {keys_[i].data(), values_[i].data(), format_};
  }
  return rows_;
}

void KvCache::truncate(int64_t size) {
  assert(size >= 0 && size <= size_);
  size_ = size;
}

}  // namespace bitloom
