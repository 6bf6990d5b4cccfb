#pragma once
// A pass through the blocks as a list of sequences: whole texts of a batch, the newest tokens of texts whose keys and
// values are kept, branches of a tree. One value for all, so that attention and blocks know no kinds of passes.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cached_attention/kv_format.h"

namespace bitloom {

/// Keys and values of one block: [rows, kv_heads], each kv_head_bytes() of head_dim or value_dim channels.
struct KvRows {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  KvFormat format = KvFormat::kFp32;
};

/// Memory for rows of keys and values of every block, by the block's index. The same rows are used in all of them.
using KvPage = std::span<const KvRows>;

/// Rows of keys and values at consecutive positions of a sequence: `rows` rows of a page from its row `first` on. An
/// empty page stands for what the pass itself computes, which is not kept: `first` is then a row of the pass.
struct KvRun {
  KvPage page;
  int64_t first = 0, rows = 0;
};

/// Rows [first_row, first_row + rows) of a pass: tokens at consecutive positions, from `position` on.
struct PassSequence {
  int64_t first_row = 0, rows = 0;
  int64_t position = 0;
  int64_t first_run = 0, runs = 0;  // of Pass::runs()
  int64_t keys() const { return position + rows; }
};

/// Where a row of a pass stands in its sequence.
struct RowPosition {
  int64_t position = 0;
  int64_t length = 0;  // of the sequence as rotary frequencies that depend on it see it
};

/// Used again after clear(), it allocates nothing.
class Pass {
 public:
  /// `batch` whole sequences of `length` tokens, from position 0 on.
  static Pass whole(int64_t batch, int64_t length);

  void clear();
  /// Appends a sequence of `rows` rows. `runs` hold the keys and values of positions 0 to `position + rows` (asserted),
  /// in this order; the last `rows` of them are those of these rows, and what of them lies in a page is put there by
  /// the pass. Everything before must be there, in a page or in rows of the pass that were added before. `length` at
  /// least position + rows: see RowPosition.
  void add(int64_t rows, int64_t position, int64_t length, std::span<const KvRun> runs);
  /// Rows of all sequences; the next one that is added begins there.
  int64_t rows() const { return static_cast<int64_t>(positions_.size()); }

  const std::vector<PassSequence>& sequences() const { return sequences_; }
  std::span<const KvRun> runs(const PassSequence& sequence) const {
    return std::span(runs_).subspan(static_cast<size_t>(sequence.first_run), static_cast<size_t>(sequence.runs));
  }
  const RowPosition& position(int64_t row) const { return positions_[static_cast<size_t>(row)]; }
  /// One more than the greatest position.
  int64_t reach() const { return reach_; }
  /// The greatest `length`: what tables of rotary angles must reach.
  int64_t length() const { return length_; }

 private:
  std::vector<PassSequence> sequences_;
  std::vector<KvRun> runs_;
  std::vector<RowPosition> positions_;  // of every row
  int64_t reach_ = 0, length_ = 0;
};

}  // namespace bitloom
