#include "tokenize/json/pattern.h"

namespace bitloom {

TextPattern::TextPattern(const JsonNode& node) {
  if (const auto regex = node.find("Regex")) {
    regex_.emplace(regex->text(), *regex);
    return;
  }
  const JsonNode literal = node.at("String");
  literal_ = literal.text();
  if (literal_.empty()) literal.reject("is empty");
}

void TextPattern::split(std::string_view text, RegexScratch& scratch,
                        FunctionRef<void(size_t begin, size_t end, bool match)> part) const {
  if (regex_) return regex_->split(text, scratch, part);
  size_t previous = 0;
  for (size_t found; (found = text.find(literal_, previous)) != std::string_view::npos;
       previous = found + literal_.size()) {
    if (found > previous) part(previous, found, false);
    part(found, found + literal_.size(), true);
  }
  if (previous < text.size()) part(previous, text.size(), false);
}

}  // namespace bitloom
