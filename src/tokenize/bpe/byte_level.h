#pragma once
// GPT-2's printable alphabet for bytes: '!'..'~', U+00A1..U+00AC and U+00AE..U+00FF stand for themselves, the other 68
// bytes become U+0100, U+0101, ... in order.

#include <string>
#include <string_view>

namespace bitloom {

/// Each byte as its character.
std::string to_byte_alphabet(std::string_view bytes);

/// Appends the bytes that `token` spells; a token with any other character is appended as it is.
void append_from_byte_alphabet(std::string& out, std::string_view token);

/// GPT-2's own splitting regex, in Oniguruma's syntax.
extern const char* const kGpt2Regex;

}  // namespace bitloom
