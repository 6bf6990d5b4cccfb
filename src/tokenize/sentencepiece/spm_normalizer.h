#pragma once
// SentencePiece's normalization of text: a map of characters, and what becomes of blanks.

#include <optional>
#include <string>
#include <string_view>

#include "tokenize/sentencepiece/spm_model.h"
#include "tokenize/text/character_map.h"
#include "tokenize/text/prefix_trie.h"

namespace bitloom {

class SpmNormalizer {
 public:
  /// `kept` are strings that the map leaves alone (user-defined pieces). Both must outlive it.
  SpmNormalizer(const SpmModel& model, const PrefixTrie& kept);

  /// At each place the longest string of the map that begins there is replaced. Then, as the model says: blanks at both
  /// ends go, runs of blanks become one, one comes before (or after) the whole, and each is written as U+2581.
  std::string normalize(std::string_view text) const;

 private:
  std::string_view next(std::string_view& text) const;

  const SpmModel& model_;
  const PrefixTrie& kept_;
  std::optional<CharacterMap> map_;
};

/// Bytes of the longest string of `trie` that `text` begins with; 0: none.
size_t longest_prefix(const PrefixTrie& trie, std::string_view text);
/// Bytes of the first character of `text`, valid UTF-8 and not empty; never more than there are.
size_t first_character(std::string_view text);

}  // namespace bitloom
