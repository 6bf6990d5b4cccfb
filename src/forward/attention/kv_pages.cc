#include "forward/attention/kv_pages.h"

#include <algorithm>
#include <cassert>

namespace bitloom {
namespace {

struct RowBytes {
  int64_t keys, values;
};

RowBytes row_bytes(const Attention& attention, KvFormat format) {
  return {attention.kv_heads * kv_head_bytes(format, attention.head_dim),
          attention.kv_heads * kv_head_bytes(format, attention.values())};
}

}  // namespace

KvPages::KvPages(const Graph& graph, int64_t pages, KvFormat format) : pages_(pages) {
  const auto take = [&](int64_t width) {
    memory_.push_back(std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(pages * kKvPageRows * width)));
    return memory_.back().get();
  };
  for (const Block& block : graph.blocks) {
    const RowBytes bytes = row_bytes(block.attention, format);
    std::byte* keys = take(bytes.keys);
    rows_.push_back({keys, take(bytes.values), format});
  }
}

int64_t KvPages::page_bytes(const Graph& graph, KvFormat format) {
  int64_t width = 0;
  for (const Block& block : graph.blocks) {
    const RowBytes bytes = row_bytes(block.attention, format);
    width += bytes.keys + bytes.values;
  }
  return width * kKvPageRows;
}

int64_t kv_bytes_read(const Graph& graph, KvFormat format, int64_t length) {
  int64_t total = 0;
  for (const Block& block : graph.blocks) {
    const int64_t window = block.attention.window;
    const RowBytes bytes = row_bytes(block.attention, format);
    total += (bytes.keys + bytes.values) * (window > 0 ? std::min(window, length) : length);
  }
  return total;
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
