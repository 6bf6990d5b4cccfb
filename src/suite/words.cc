#include "suite/words.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

/// The name of the placeholder that begins at text[at], or "" when none does.
std::string name_at(std::string_view text, size_t at) {
  if (text[at] != '{') return "";
  const size_t end = text.find('}', at);
  if (end == text.npos) return "";
  const std::string_view name = text.substr(at + 1, end - at - 1);
  return std::all_of(name.begin(), name.end(), in_name) ? std::string(name) : "";
}

}  // namespace

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  bool inside = false;
  char quote = 0;
  for (const char c : line) {
    if (quote == 0 && is_blank(c)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) misuse("a {} is not closed in: {}", quote, line);
  return words;
}

std::string fill(const std::string& text, const std::function<std::optional<std::string>(const std::string&)>& value,
                 const std::vector<std::string>& known) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::string name = name_at(text, at);
    if (name.empty()) {
      out += text[at++];
      continue;
    }
    const std::optional<std::string> found = value(name);
    if (!found)
      misuse("unknown placeholder '{{{}}}'{}; there are: {}", name, did_you_mean(name, known), fmt::join(known, ", "));
    out += *found;
    at += name.size() + 2;
  }
  return out;
}

std::vector<std::string> placeholders(const std::string& text) {
  std::vector<std::string> names;
  for (size_t at = 0; at < text.size(); ++at)
    if (const std::string name = name_at(text, at); !name.empty()) names.push_back(name);
  return names;
}

}  // namespace bitloom
