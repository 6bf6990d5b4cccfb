#pragma once
// Which token holds which characters of a text.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenize/tokenizer.h"

namespace bitloom::arithmetic {

/// The text that each id adds after `before`; a character of several tokens is added by its last.
std::vector<std::string> pieces_of(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                                   std::span<const int32_t> before = {});

/// The pieces of a text's own tokens, without special ones around it. They join to the text for every tokenizer here
/// (a blank that SentencePiece puts in front is taken off again).
std::vector<std::string> pieces_of_text(const Tokenizer& tokenizer, std::string_view text);

/// "106|421|22+", for messages; line breaks as \n.
std::string show_pieces(std::span<const std::string> pieces);

/// Digits of each piece that overlaps characters [begin, end) of the joined pieces, pieces without one left out:
/// {"12", ",", "345"} -> {2, 3}. What the error analysis takes as the number's chunks.
struct DigitToken {
  size_t piece = 0;  // its index
  int digits = 0;
};
std::vector<DigitToken> digit_tokens(std::span<const std::string> pieces, size_t begin, size_t end);

bool is_digit(char c);

}  // namespace bitloom::arithmetic
