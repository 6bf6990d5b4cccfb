#pragma once
// Memory for keys and values of many sequences, in pages of equal size: a sequence holds any pages, several may read
// the same one. Who holds which is decided elsewhere; here is only where they lie.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "forward/pass.h"
#include "model/graph.h"

namespace bitloom {

/// Tokens of a page. What sequences share they share by pages; neighbouring pages cost attention nothing.
inline constexpr int64_t kKvPageRows = 32;

class KvPages {
 public:
  /// `pages` pages; memory is taken as rows are written.
  KvPages(const Graph& graph, int64_t pages, KvFormat format = KvFormat::kFp32);
  int64_t pages() const { return pages_; }

  /// Appends to `runs` where the first `rows` positions lie of a sequence that holds `pages`, in this order.
  void add_runs(std::span<const int64_t> pages, int64_t rows, std::vector<KvRun>& runs);

  /// Bytes that a page takes.
  static int64_t page_bytes(const Graph& graph, KvFormat format = KvFormat::kFp32);

 private:
  int64_t pages_;
  std::vector<std::unique_ptr<std::byte[]>> memory_;  // keys and values of each block
  std::vector<KvRows> rows_;                          // where they begin
};

/// Bytes of keys and values that a token reads which is the last of `length`: itself, and what windows let it see.
int64_t kv_bytes_read(const Graph& graph, KvFormat format, int64_t length);

}  // namespace bitloom
