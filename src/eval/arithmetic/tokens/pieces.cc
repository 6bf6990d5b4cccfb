#include "eval/arithmetic/tokens/pieces.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace bitloom::arithmetic {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::vector<std::string> pieces_of(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                                   std::span<const int32_t> before) {
  Tokenizer::Stream stream(tokenizer, true, before);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(stream.push(id));
  if (!pieces.empty()) pieces.back() += stream.finish();
  return pieces;
}

std::vector<std::string> pieces_of_text(const Tokenizer& tokenizer, std::string_view text) {
  return pieces_of(tokenizer, tokenizer.encode(text, false));
}

std::string show_pieces(std::span<const std::string> pieces) {
  std::string out;
  for (const std::string& piece : pieces) {
    if (piece.empty()) continue;
    if (!out.empty()) out += '|';
    for (const char c : piece) out += c == '\n' ? "\\n" : std::string(1, c);
  }
  return out;
}

std::vector<DigitToken> digit_tokens(std::span<const std::string> pieces, size_t begin, size_t end) {
  std::vector<DigitToken> out;
  size_t at = 0;
  for (size_t i = 0; i < pieces.size(); at += pieces[i].size(), ++i) {
    int digits = 0;
    for (size_t c = 0; c < pieces[i].size(); ++c)
      if (at + c >= begin && at + c < end && is_digit(pieces[i][c])) ++digits;
    if (digits > 0) out.push_back({i, digits});
  }
  return out;
}

}  // namespace bitloom::arithmetic
