#pragma once
// The merge loop of BPE.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitloom {

/// (left id, right id) -> (rank, merged id); open addressing.
class MergeTable {
 public:
  struct Entry {
    uint64_t pair = kNone;
    uint32_t rank = 0;
    int32_t merged = -1;
  };

  /// A pair set twice keeps the later rank.
  void set(int32_t left, int32_t right, uint32_t rank, int32_t merged);
  /// nullptr: this pair does not merge.
  const Entry* find(int32_t left, int32_t right) const {
    if (entries_.empty()) return nullptr;
    const uint64_t pair = key(left, right);
    for (size_t i = slot(pair);; i = (i + 1) & (entries_.size() - 1)) {
      if (entries_[i].pair == pair) return &entries_[i];
      if (entries_[i].pair == kNone) return nullptr;
    }
  }

 private:
  static constexpr uint64_t kNone = ~uint64_t{0};
  static uint64_t key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t pair) const {
    const uint64_t h = pair * 0x9E3779B97F4A7C15u;
    return static_cast<size_t>(h ^ (h >> 32)) & (entries_.size() - 1);
  }
  void grow();

  std::vector<Entry> entries_;
  size_t used_ = 0;
};

struct MergeScratch {
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    int32_t merged;
  };
  std::vector<uint32_t> ranks;
  std::vector<int32_t> merged;
  std::vector<Candidate> heap;
  std::vector<uint32_t> previous, next;
};

/// Merges `symbols` in place until no pair is left that `table` merges: the lowest rank first, of equals the leftmost.
/// O(n log n).
void merge_symbols(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& scratch);

/// The same by the definition, O(n^2): for short pieces, and what the other is tested against.
void merge_symbols_by_scanning(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& scratch);
/// The same with a heap of candidates over a linked list, for long pieces.
void merge_symbols_by_heap(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& scratch);

}  // namespace bitloom
