#include "eval/tasks/prompt/unicode_blanks.h"

#include <cstdint>

namespace bitloom {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// The code point that begins at `text[0]` and ends with the text.
uint32_t code_point(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (text.size() == 1) return first;
  uint32_t value = first & (0x7Fu >> text.size());
  for (const char c : text.substr(1)) value = value << 6 | (static_cast<unsigned char>(c) & 0x3Fu);
  return value;
}

bool is_white(uint32_t c) {
  if ((c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0) return true;
  return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace

size_t trailing_blanks(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && continues(text[begin])) --begin;
    if (end - begin > 4 || !is_white(code_point(text.substr(begin, end - begin)))) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace bitloom
