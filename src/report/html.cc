#include "report/html.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace bitloom {
namespace {

struct Character {
  int32_t codepoint = -1;  // -1: no UTF-8
  size_t bytes = 1;
};

Character first_character(std::string_view text) {
  utf8proc_int32_t codepoint = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const utf8proc_ssize_t used = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &codepoint);
  if (used <= 0) return {};
  return {codepoint, static_cast<size_t>(used)};
}

bool may_be_shown(int32_t c) {
  const std::pair<int32_t, int32_t> kForbidden[] = {{-1, 0x08},       {0x0b, 0x0c},     {0x0d, 0x1f},    {0x7f, 0x9f},
                                                    {0x202a, 0x202e}, {0x2066, 0x2069}, {0xfdd0, 0xfdef}};
  if ((c & 0xfffe) == 0xfffe) return false;  // the last two of each plane
  return std::none_of(std::begin(kForbidden), std::end(kForbidden),
                      [&](const auto& range) { return c >= range.first && c <= range.second; });
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    switch (character.codepoint) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += may_be_shown(character.codepoint) ? text.substr(0, character.bytes) : "\uFFFD";
    }
    text.remove_prefix(character.bytes);
  }
  return out;
}

std::string visible_token(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_character(text);
    const int32_t c = character.codepoint;
    if (c < 0) {
      out += fmt::format("\\x{:02X}", static_cast<unsigned char>(text[0]));
    } else if (c == ' ') {
      out += "␣";
    } else if (c == '\n') {
      out += "↵";
    } else if (c == '\t') {
      out += "⇥";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02X}", c);
    } else {
      out += text.substr(0, character.bytes);
    }
    text.remove_prefix(character.bytes);
  }
  return out;
}

std::string embed_json(std::string_view json) {
  std::string out;
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace bitloom
