#include "forward/attention/kv_pages.h"

#include <algorithm>
#include <cassert>

namespace bitloom {

KvPages::KvPages(const Graph& graph, int64_t pages) : pages_(pages) {
  const auto take = [&](int64_t width) {
    memory_.push_back(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(pages * kKvPageRows * width)));
    return memory_.back().get();
  };
  for (const Block& block : graph.blocks) {
    const Attention& attention = block.attention;
    float* keys = take(attention.kv_heads * attention.head_dim);
    rows_.push_back({keys, take(attention.kv_heads * attention.values())});
  }
}

int64_t KvPages::page_bytes(const Graph& graph) {
  int64_t width = 0;
  for (const Block& block : graph.blocks)
    width += block.attention.kv_heads * (block.attention.head_dim + block.attention.values());
  return width * kKvPageRows * static_cast<int64_t>(sizeof(float));
}

void KvPages::add_runs(std::span<const int64_t> pages, int64_t rows, std::vector<KvRun>& runs) {
  assert(rows <= static_cast<int64_t>(pages.size()) * kKvPageRows);
  int64_t end = -1;  // row after the run before
  for (size_t i = 0; rows > 0; ++i) {
    const int64_t first = pages[i] * kKvPageRows, count = std::min(rows, kKvPageRows);
    if (first == end) {
      runs.back().rows += count;
    } else {
      runs.push_back({rows_, first, count});
    }
    end = first + count;
    rows -= count;
  }
}

}  // namespace bitloom
