#pragma once
// SentencePiece's map of characters, "precompiled_charsmap": a trie of byte strings and what replaces them.
//
//   u32 size of the trie in bytes, little-endian; the trie; replacements, each ended by a zero byte. A leaf's value is
//   the offset of its replacement.
//
// The trie is a double array (Darts-clone): of a unit, bits 0-7 and 31 are the label, bit 8 says that a leaf follows,
// bits 10-30 are the offset to the children, times 256 when bit 9 is set; of a leaf, bits 0-30 are the value. The child
// for byte b of node n lies at n xor offset xor b.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

class CharacterMap {
 public:
  /// `where` is for messages. Error(kRefused) when the bytes are no such map, or have a replacement of more than
  /// kMaxTokenBytes.
  CharacterMap(std::string_view bytes, const std::string& where);

  struct Match {
    size_t length;  // bytes of the text
    std::string_view by;
  };
  /// The strings of the map that `text`, valid UTF-8, begins with, and what replaces them; those that end inside a
  /// character of `text` are left out. Error(kRefused) for a leaf that points beside the replacements, and for a string
  /// that goes on for more than kMaxTokenBytes.
  std::optional<Match> shortest(std::string_view text) const;
  std::optional<Match> longest(std::string_view text) const;

 private:
  template <typename Found>
  void matches(std::string_view text, const Found& found) const;
  std::string_view replacement(size_t begin) const;

  std::string where_;
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace bitloom
