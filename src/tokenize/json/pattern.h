#pragma once
// The "pattern" of a Split or Replace: {"String": "..."} or {"Regex": "..."}.

#include <optional>
#include <string>
#include <string_view>

#include "tokenize/json/json_node.h"
#include "tokenize/text/function_ref.h"
#include "tokenize/text/regex.h"

namespace bitloom {

class TextPattern {
 public:
  explicit TextPattern(const JsonNode& node);

  /// Gives out all of `text` in order, as matches and what lies between them.
  void split(std::string_view text, RegexScratch& scratch,
             FunctionRef<void(size_t begin, size_t end, bool match)> part) const;

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

}  // namespace bitloom
