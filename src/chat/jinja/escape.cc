#include "chat/jinja/escape.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "base/error.h"
#include "tokenize/text/unicode.h"

namespace bitloom::jinja {
namespace {

struct Simple {
  char letter;
  std::string_view text;
};
constexpr std::array<Simple, 11> kSimple = {{{'\n', ""},
                                             {'\\', "\\"},
                                             {'\'', "'"},
                                             {'"', "\""},
                                             {'a', "\a"},
                                             {'b', "\b"},
                                             {'f', "\f"},
                                             {'n', "\n"},
                                             {'r', "\r"},
                                             {'t', "\t"},
                                             {'v', "\v"}}};

struct Coded {
  char letter;
  size_t digits;
};
constexpr std::array<Coded, 3> kCoded = {{{'x', 2}, {'u', 4}, {'U', 8}}};

/// Appends the character whose number stands in `digits`.
void append_code(std::string& out, std::string_view digits, int base) {
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
  const bool whole = error == std::errc() && end == digits.data() + digits.size() && !digits.empty();
  if (!whole || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    refuse("'{}' in a string is no character's number", digits);
  }
  append_utf8(out, code);
}

/// One escape that begins at `at`, after the backslash; returns where it ends.
size_t append_escape(std::string& out, std::string_view body, size_t at) {
  const char letter = body[at];
  for (const Simple& row : kSimple) {
    if (row.letter == letter) return out.append(row.text), at + 1;
  }
  for (const Coded& row : kCoded) {
    if (row.letter != letter) continue;
    const std::string_view digits = body.substr(at + 1, row.digits);
    if (digits.size() < row.digits) refuse("'\\{}{}' in a string has too few digits", letter, digits);
    append_code(out, digits, 16);
    return at + 1 + row.digits;
  }
  if (letter == 'N') refuse("'\\N' in a string is not supported");
  size_t end = at;
  while (end < body.size() && end < at + 3 && body[end] >= '0' && body[end] <= '7') ++end;
  if (end == at) return out.append(1, '\\'), at;
  append_code(out, body.substr(at, end - at), 8);
  return end;
}

}  // namespace

std::string unescaped(std::string_view body) {
  std::string out;
  for (size_t at = 0; at < body.size();) {
    if (body[at] == '\\' && at + 1 < body.size()) {
      at = append_escape(out, body, at + 1);
    } else {
      out += body[at++];
    }
  }
  return out;
}

}  // namespace bitloom::jinja
