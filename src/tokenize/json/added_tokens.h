#pragma once
// added_tokens of tokenizer.json: tokens that are cut out of the text before anything else sees it.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenize/json/json_node.h"
#include "tokenize/json/normalizer.h"
#include "tokenize/text/function_ref.h"
#include "tokenize/text/prefix_trie.h"

namespace bitloom {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  std::string spelled;  // what is searched for and decoded: the content, normalized when `normalized`
  bool special = false;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = true;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  /// Takes the tokens of an "added_tokens" array. `model_id` looks a token up in the model's vocabulary, whose size is
  /// `model_size`; ids that follow neither are refused, as the tokenizers package would change them silently.
  AddedTokens(const JsonNode& node, const Normalizers& normalizers, size_t model_size,
              FunctionRef<std::optional<int32_t>(const std::string&)> model_id);

  /// Gives out all of `text` in order: stretches between tokens with id -1, tokens with their id. `normalized` says
  /// which kind of tokens is searched for.
  void split(std::string_view text, bool normalized,
             FunctionRef<void(size_t begin, size_t end, int32_t id)> part) const;
  bool any(bool normalized) const { return !(normalized ? normalized_ : plain_).empty(); }

  const std::map<int32_t, AddedToken>& by_id() const { return by_id_; }
  std::optional<int32_t> find(const std::string& content) const;
  /// Whether decoding skips a token that is spelled so.
  bool is_special(const std::string& spelled) const { return special_.contains(spelled); }

 private:
  void index(const JsonNode& node);
  bool is_single_word(std::string_view text, size_t begin, size_t end) const;

  std::map<int32_t, AddedToken> by_id_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<std::string> special_;
  PrefixTrie plain_;
  PrefixTrie normalized_;
  std::optional<Regex> word_;  // one word character; made when a token asks for single words
};

}  // namespace bitloom
