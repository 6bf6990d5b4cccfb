#include "eval/logits/token_tree.h"

#include <algorithm>
#include <numeric>

namespace bitloom {
namespace {

/// Builds by depth over the sequences in lexicographic order: those that share a beginning are neighbours.
class Builder {
 public:
  Builder(TokenSequences sequences, size_t skipped) : sequences_(sequences), skipped_(skipped) {
    order_.resize(sequences.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return sequences[a] < sequences[b]; });
    tree_.rows.resize(sequences.size());
  }

  TokenTree build() {
    grow(0, order_.size(), skipped_, -1);
    return std::move(tree_);
  }

 private:
  const std::vector<int32_t>& at(size_t place) const { return sequences_[order_[place]]; }

  /// Branches for the sequences at places [begin, end), which share their first `depth` tokens.
  void grow(size_t begin, size_t end, size_t depth, int64_t parent) {
    while (begin < end && at(begin).size() == depth) ++begin;  // these end here
    while (begin < end) {
      size_t next = begin + 1;
      while (next < end && at(next)[depth] == at(begin)[depth]) ++next;
      const size_t reach = common_prefix(at(begin), at(next - 1));
      grow(begin, next, reach, add(begin, next, depth, reach, parent));
      begin = next;
    }
  }

  /// One branch: tokens [depth, reach) of the sequences at places [begin, end). Returns its index.
  int64_t add(size_t begin, size_t end, size_t depth, size_t reach, int64_t parent) {
    tree_.branches.push_back({std::span(at(begin)).subspan(depth, reach - depth), parent});
    for (size_t token = depth; token < reach; ++token, ++tree_.total_rows)
      for (size_t place = begin; place < end; ++place) tree_.rows[order_[place]].push_back(tree_.total_rows);
    return static_cast<int64_t>(tree_.branches.size()) - 1;
  }

  TokenSequences sequences_;
  size_t skipped_;
  std::vector<size_t> order_;  // sequences by their tokens
  TokenTree tree_;
};

}  // namespace

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

size_t common_prefix(TokenSequences sequences) {
  if (sequences.empty()) return 0;
  size_t common = sequences.front().size();
  for (const std::vector<int32_t>& sequence : sequences)
    common = std::min(common, common_prefix(sequences.front(), sequence));
  return common;
}

TokenTree token_tree(TokenSequences sequences, size_t skipped) { return Builder(sequences, skipped).build(); }

}  // namespace bitloom
