#pragma once
// Strings with values, of which all that begin at a place of a text are found at once.

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace bitloom {

class PrefixTrie {
 public:
  using Entries = std::vector<std::pair<std::string_view, int32_t>>;

  PrefixTrie() = default;
  /// Different strings, with values of at least 0; not borrowed. Takes time and memory in proportion to their bytes.
  explicit PrefixTrie(Entries entries);

  bool empty() const { return nodes_.size() == 1; }

  /// Calls found(length, value) for each string, the empty one aside, that `text` begins with, the shortest first.
  template <typename Found>
  void prefixes(std::string_view text, Found found) const {
    size_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

 private:
  struct Node {
    int32_t value = -1;
    uint32_t first = 0;  // the children stand side by side, by rising bytes
    uint16_t count = 0;
    unsigned char byte = 0;
  };
  /// 0, the root, when there is none.
  size_t child(size_t node, unsigned char byte) const { return node == 0 ? top_[byte] : lower_child(node, byte); }
  size_t lower_child(size_t node, unsigned char byte) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<uint32_t, 256> top_{};  // children of the root, by byte
};

}  // namespace bitloom
