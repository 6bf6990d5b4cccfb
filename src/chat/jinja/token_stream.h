#pragma once
// Tokens with a reading position, and complaints that name the line.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "chat/jinja/lexer.h"

namespace bitloom::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, const std::string& origin) : tokens_(std::move(tokens)), origin_(origin) {}

  /// The token `ahead` places from here; the end repeats.
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  int line() const { return peek().line; }
  Token take() {
    const Token& token = peek();
    if (token.kind != TokenKind::kEnd) ++at_;
    return token;
  }

  bool at(TokenKind kind) const { return peek().kind == kind; }
  bool at_operator(std::string_view text, size_t ahead = 0) const { return is(TokenKind::kOperator, text, ahead); }
  bool at_name(std::string_view text, size_t ahead = 0) const { return is(TokenKind::kName, text, ahead); }
  bool skip_operator(std::string_view text) { return at_operator(text) && (take(), true); }
  bool skip_name(std::string_view text) { return at_name(text) && (take(), true); }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) reject("expected '{}', found {}", text, found());
  }
  std::string expect_name() {
    if (!at(TokenKind::kName)) reject("expected a name, found {}", found());
    return take().text;
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!at(kind)) reject("expected {}, found {}", what, found());
    take();
  }

  /// The token here, for messages.
  std::string found() const {
    const Token& token = peek();
    if (token.kind == TokenKind::kEnd) return "the template's end";
    if (token.kind == TokenKind::kVariableEnd || token.kind == TokenKind::kBlockEnd) return "the tag's end";
    return "'" + token.text + "'";
  }
  template <typename... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{}: line {}: {}", origin_, line(), fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  bool is(TokenKind kind, std::string_view text, size_t ahead) const {
    return peek(ahead).kind == kind && peek(ahead).text == text;
  }

  std::vector<Token> tokens_;
  const std::string& origin_;
  size_t at_ = 0;
};

}  // namespace bitloom::jinja
