#include "chat/jinja/text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "tokenize/text/unicode.h"

namespace bitloom::jinja {
namespace {

char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

utf8proc_category_t category_of(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_cased(char32_t c) {
  const utf8proc_category_t category = category_of(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

/// Property Case_Ignorable, as far as it can stand inside a word.
bool is_case_ignorable(char32_t c) {
  constexpr std::array<char32_t, 9> kMidLetter = {'\'', '.', ':', 0xB7, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE55};
  switch (category_of(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::find(kMidLetter.begin(), kMidLetter.end(), c) != kMidLetter.end();
  }
}

/// Full case folding of one character: "ss" for a sharp s.
std::vector<char32_t> folded(char32_t c) {
  std::array<utf8proc_int32_t, 8> buffer{};
  int boundary = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer.data(), buffer.size(),
                                                         UTF8PROC_CASEFOLD, &boundary);
  if (count <= 0) return {c};
  return {buffer.begin(), buffer.begin() + count};
}

char32_t simple_upper(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }
char32_t simple_title(char32_t c) { return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))); }

/// Upper case of one character, which may be several. The full mappings of SpecialCasing.txt are those of the
/// character's full folding, letter by letter.
void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) return (void)(out += ascii_upper(static_cast<char>(c)));
  const std::vector<char32_t> parts = folded(c);
  if (parts.size() == 1 || category_of(c) == UTF8PROC_CATEGORY_LU) return append_utf8(out, simple_upper(c));
  for (const char32_t part : parts) append_utf8(out, simple_upper(part));
}

/// Title case of one character: its own mapping, else its folding with a capital first: "Ffi" for the ligature.
void append_title(std::string& out, char32_t c) {
  constexpr char32_t kSharpS = 0xDF, kSmallIota = 0x3B9, kIotaBelow = 0x345;
  const char32_t simple = simple_title(c);
  const std::vector<char32_t> parts = folded(c);
  const bool has_own = simple != c && c != kSharpS;
  if (has_own || parts.size() == 1 || category_of(c) != UTF8PROC_CATEGORY_LL) return append_utf8(out, simple);
  // The apostrophe of U+0149 has no case. An iota below a Greek letter stays below.
  bool capital = true;
  for (const char32_t part : parts) {
    append_utf8(out, capital ? simple_title(part) : part == kSmallIota ? kIotaBelow : part);
    capital = capital && !is_cased(part);
  }
}

/// Capital sigma at `at` becomes the final form when a letter precedes it and none follows.
bool is_final_sigma(std::string_view text, size_t at, size_t after) {
  size_t before = at;
  bool letter_before = false;
  while (before > 0) {
    size_t begin = before = previous_code_point(text, before);
    const char32_t c = next_code_point(text, begin);
    if (is_case_ignorable(c)) continue;
    letter_before = is_cased(c);
    break;
  }
  while (letter_before && after < text.size()) {
    const char32_t c = next_code_point(text, after);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return letter_before;
}

void append_lower(std::string& out, std::string_view text, size_t at, size_t after) {
  if (after - at == 1) {
    out += ascii_lower(text[at]);
  } else if (text.substr(at, after - at) == "\u03A3") {
    out += is_final_sigma(text, at, after) ? "\u03C2" : "\u03C3";
  } else {
    out += to_lower_case(text.substr(at, after - at));
  }
}

bool contains_character(std::string_view chars, std::string_view character) {
  return chars.find(character) != std::string_view::npos;
}

std::vector<std::string> split_words(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  text = strip(text, Side::kLeft);
  while (!text.empty()) {
    size_t end = 0;
    for (size_t after = 0; end < text.size() && !is_space(next_code_point(text, after));) end = after;
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(text);
      break;
    }
    parts.emplace_back(text.substr(0, end));
    check_text_size(parts.size() * sizeof(std::string) * 2);
    text = strip(text.substr(end), Side::kLeft);
  }
  return parts;
}

/// What repr() writes for a character that it does not show, or "".
std::string escaped(char32_t c, char quote) {
  if (c == '\\' || c == static_cast<char32_t>(quote)) return {'\\', static_cast<char>(c)};
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  const utf8proc_category_t category = category_of(c);
  const bool shown = c == ' ' || (category < UTF8PROC_CATEGORY_ZS && category != UTF8PROC_CATEGORY_CN);
  if (shown) return "";
  const auto code = static_cast<uint32_t>(c);
  if (code < 0x100) return fmt::format("\\x{:02x}", code);
  return code < 0x10000 ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code);
}

}  // namespace

bool is_space(char32_t c) { return is_whitespace(c) || (c >= 0x1C && c <= 0x1F); }

void check_text_size(size_t bytes) {
  if (bytes > kMaxText) refuse("makes a text of {} bytes, more than {}", bytes, kMaxText);
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    next_code_point(text, at);
    characters.push_back(text.substr(begin, at - begin));
  }
  return characters;
}

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  const auto goes = [&](size_t begin, size_t end) {
    const std::string_view character = text.substr(begin, end - begin);
    if (chars) return contains_character(*chars, character);
    return is_space(next_code_point(text, begin));
  };
  size_t begin = 0, end = text.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    next_code_point(text, next);
    if (!goes(begin, next)) break;
    begin = next;
  }
  while (side != Side::kLeft && begin < end) {
    const size_t previous = previous_code_point(text, end);
    if (!goes(previous, end)) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string> split_text(std::string_view text, std::optional<std::string_view> separator, int64_t limit) {
  if (!separator) return split_words(text, limit);
  if (separator->empty()) refuse("cuts a text at an empty separator");
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at = 0; limit < 0 || static_cast<int64_t>(parts.size()) < limit; begin = at + separator->size()) {
    at = text.find(*separator, begin);
    if (at == std::string_view::npos) break;
    parts.emplace_back(text.substr(begin, at - begin));
    check_text_size(parts.size() * sizeof(std::string) * 2);
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  size_t begin = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    // An empty text stands before every character and at the end.
    size_t at = text.find(from, begin);
    if (from.empty() && done > 0) {
      if (begin == text.size()) break;
      next_code_point(text, at);
    }
    if (at == std::string_view::npos) break;
    out.append(text.substr(begin, at - begin)).append(to);
    check_text_size(out.size());
    begin = at + from.size();
  }
  out.append(text.substr(begin));
  check_text_size(out.size());
  return out;
}

std::string upper_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    next_code_point(text, at);
    append_lower(out, text, begin, at);
  }
  return out;
}

std::string title_case(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (in_word) {
      append_lower(out, text, begin, at);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string capitalized(std::string_view text) {
  std::string out;
  if (text.empty()) return out;
  size_t first = 0;
  append_title(out, next_code_point(text, first));
  for (size_t at = first; at < text.size();) {
    const size_t begin = at;
    next_code_point(text, at);
    append_lower(out, text, begin, at);
  }
  return out;
}

std::string python_quoted(std::string_view text) {
  const bool doubled = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const std::string escape = escaped(next_code_point(text, at), quote);
    out.append(escape.empty() ? text.substr(begin, at - begin) : escape);
  }
  out += quote;
  return out;
}

}  // namespace bitloom::jinja
