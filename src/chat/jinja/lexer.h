#pragma once
// A template as tokens, white space control done: transformers' settings, trim_blocks and lstrip_blocks on,
// keep_trailing_newline off.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom::jinja {

enum class TokenKind {
  kText,           // between tags, as it is printed
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // `text` is its value
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
  int64_t integer = 0;
  double number = 0;
};

/// Ends with a kEnd token. Error(kRefused) "ORIGIN: line N: ..." for what is no token.
std::vector<Token> tokenize(std::string_view source, const std::string& origin);

}  // namespace bitloom::jinja
