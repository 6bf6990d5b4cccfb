#pragma once
// Unicode as the tokenizers package sees it: code points, character classes, normal forms, lossy decoding.

#include <cstddef>
#include <string>
#include <string_view>

namespace bitloom {

/// The code point at `position`, which is advanced past it. `text` is well-formed UTF-8.
inline char32_t next_code_point(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    ++position;
    return lead;
  }
  char32_t result;
  size_t length;
  if (lead < 0xE0) {
    result = lead & 0x1Fu;
    length = 2;
  } else if (lead < 0xF0) {
    result = lead & 0x0Fu;
    length = 3;
  } else {
    result = lead & 0x07u;
    length = 4;
  }
  for (size_t i = 1; i < length; ++i) result = (result << 6) | (byte(i) & 0x3Fu);
  position += length;
  return result;
}

/// Offset of the code point that ends at `end` (> 0).
inline size_t previous_code_point(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

void append_utf8(std::string& out, char32_t code_point);

/// Property White_Space.
bool is_whitespace(char32_t c);
/// Categories Nd, Nl, No.
bool is_numeric(char32_t c);
/// ASCII punctuation and symbols, and the categories P*.
bool is_punctuation(char32_t c);
/// Categories Mn, Mc, Me.
bool is_combining_mark(char32_t c);

/// What BERT's normalizer removes: controls when it cleans text, nonspacing marks when it strips accents.
bool is_bert_control(char32_t c);
bool is_bert_mark(char32_t c);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string to_normal_form(std::string_view text, NormalForm form);

/// Full, locale-free lower case.
std::string to_lower_case(std::string_view text);

/// Bytes to text: each maximal ill-formed sequence becomes one U+FFFD (Unicode 3.9, "substitution of maximal
/// subparts").
std::string lossy_utf8(std::string_view bytes);

}  // namespace bitloom
