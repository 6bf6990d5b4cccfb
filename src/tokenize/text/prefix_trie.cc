#include "tokenize/text/prefix_trie.h"

#include <algorithm>

namespace bitloom {

PrefixTrie::PrefixTrie(Entries entries) {
  std::sort(entries.begin(), entries.end());
  // Breadth first: node i has the entries [begins[i], ends[i]), which share their first depths[i] bytes.
  std::vector<size_t> begins = {0}, ends = {entries.size()}, depths = {0};
  for (size_t i = 0; i < nodes_.size(); ++i) {
    size_t at = begins[i];
    const size_t depth = depths[i];
    if (at < ends[i] && entries[at].first.size() == depth) nodes_[i].value = entries[at++].second;
    nodes_[i].first = static_cast<uint32_t>(nodes_.size());
    while (at < ends[i]) {
      const char byte = entries[at].first[depth];
      size_t end = at + 1;
      while (end < ends[i] && entries[end].first[depth] == byte) ++end;
      ++nodes_[i].count;
      nodes_.push_back({-1, 0, 0, static_cast<unsigned char>(byte)});
      begins.push_back(at), ends.push_back(end), depths.push_back(depth + 1);
      at = end;
    }
  }
  for (uint32_t i = 0; i < nodes_[0].count; ++i) top_[nodes_[nodes_[0].first + i].byte] = nodes_[0].first + i;
}

size_t PrefixTrie::lower_child(size_t node, unsigned char byte) const {
  const auto begin = nodes_.begin() + nodes_[node].first, end = begin + nodes_[node].count;
  const auto found = std::lower_bound(begin, end, byte, [](const Node& a, unsigned char b) { return a.byte < b; });
  return found == end || found->byte != byte ? 0 : static_cast<size_t>(found - nodes_.begin());
}

}  // namespace bitloom
