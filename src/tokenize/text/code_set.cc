#include "tokenize/text/code_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenize/text/regex.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

constexpr char32_t kLast = 0x10FFFF;

const std::string& every_character() {
  static const std::string kText = [] {
    std::string text;
    for (char32_t c = 0; c <= kLast; ++c) {
      if (c < 0xD800 || c > 0xDFFF) append_utf8(text, c);
    }
    return text;
  }();
  return kText;
}

}  // namespace

CodeSet::CodeSet(const std::string& pcre2_class) {
  RegexScratch scratch;
  const std::string& text = every_character();
  Regex(pcre2_class + "+").split(text, scratch, [&](size_t begin, size_t end, bool match) {
    if (!match) return;
    size_t last = previous_code_point(text, end);
    const char32_t first = next_code_point(text, begin);
    ranges_.emplace_back(first, next_code_point(text, last));
  });
}

CodeSet CodeSet::complement() const {
  Ranges result;
  char32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) result.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kLast) result.emplace_back(next, kLast);
  return CodeSet(std::move(result));
}

CodeSet CodeSet::united_with(const CodeSet& other) const {
  Ranges all;
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(), std::back_inserter(all));
  Ranges result;
  for (const auto& [first, last] : all) {
    if (!result.empty() && first <= result.back().second + 1) {
      result.back().second = std::max(result.back().second, last);
    } else {
      result.emplace_back(first, last);
    }
  }
  return CodeSet(std::move(result));
}

CodeSet CodeSet::intersected_with(const CodeSet& other) const {
  return complement().united_with(other.complement()).complement();
}

std::string CodeSet::inside_of_class() const {
  std::string out;
  for (const auto& [first, last] : ranges_) {
    out += fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(first));
    if (last > first) out += fmt::format("-\\x{{{:x}}}", static_cast<uint32_t>(last));
  }
  return out;
}

}  // namespace bitloom
