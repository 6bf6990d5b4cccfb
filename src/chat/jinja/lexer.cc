#include "chat/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/escape.h"
#include "chat/jinja/text.h"
#include "tokenize/text/unicode.h"

namespace bitloom::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// Line ends as "\n", and none after the last line.
std::string normalized(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

/// '-' or '+' at `at`, else 0.
char sign_at(std::string_view text, size_t at) {
  return at < text.size() && (text[at] == '-' || text[at] == '+') ? text[at] : '\0';
}

// Longest first.
constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& origin) : source_(normalized(source)), origin_(origin) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_text();
    push(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{}: line {}: {}", origin_, line_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }
  void push(TokenKind kind, std::string text = "") { tokens_.push_back({kind, std::move(text), line_, 0, 0}); }
  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }
  void skip_space() { advance(rest().size() - strip(rest(), Side::kLeft).size()); }

  void lex_text();
  void push_text(std::string_view text, char sign, bool before_variable);
  void skip_comment();
  bool lex_raw();
  bool lex_word(std::string_view word);
  void lex_tag(TokenKind end, std::string_view close);
  bool lex_tag_end(std::string_view close);
  void lex_token();
  void lex_number();
  void lex_string();
  void lex_operator();

  std::string source_;
  const std::string& origin_;
  std::vector<Token> tokens_;
  std::string brackets_;  // those that close the open ones
  size_t at_ = 0;
  int line_ = 1;
};

/// Text up to the next tag, and the tag.
void Lexer::lex_text() {
  size_t begin = at_;
  do {
    begin = source_.find('{', begin);
  } while (begin != std::string::npos && begin + 1 < source_.size() &&
           std::string_view("{%#").find(source_[begin + 1]) == std::string_view::npos && ++begin > 0);
  if (begin == std::string::npos || begin + 1 >= source_.size()) {
    push(TokenKind::kText, std::string(rest()));
    return advance(rest().size());
  }
  const char kind = source_[begin + 1], sign = sign_at(source_, begin + 2);
  push_text(rest().substr(0, begin - at_), sign, kind == '{');
  advance(begin - at_);
  if (kind == '%' && lex_raw()) return;
  push(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin);
  advance(sign == '\0' ? 2 : 3);
  if (kind == '#') return skip_comment();
  kind == '{' ? lex_tag(TokenKind::kVariableEnd, "}}") : lex_tag(TokenKind::kBlockEnd, "%}");
}

/// Text before a tag with this sign. lstrip_blocks: a block or comment that begins a line takes its indentation.
void Lexer::push_text(std::string_view text, char sign, bool before_variable) {
  const bool line_starting = at_ == 0 || source_[at_ - 1] == '\n';
  if (sign == '-') {
    text = strip(text, Side::kRight);
  } else if (sign != '+' && !before_variable) {
    const size_t line = text.rfind('\n') + 1;  // 0 without one
    if ((line > 0 || line_starting) && strip(text.substr(line), Side::kBoth).empty()) text = text.substr(0, line);
  }
  if (!text.empty()) push(TokenKind::kText, std::string(text));
}

void Lexer::skip_comment() {
  tokens_.pop_back();
  const size_t end = source_.find("#}", at_);
  if (end == std::string::npos) reject("a comment is not closed");
  const size_t signed_end = end > at_ && sign_at(source_, end - 1) != '\0' ? end - 1 : end;
  advance(signed_end - at_);
  lex_tag_end("#}");
}

/// "{% raw %} ... {% endraw %}".
bool Lexer::lex_raw() {
  const size_t begin = at_;
  const int line = line_;
  if (!lex_word("raw")) {
    at_ = begin, line_ = line;
    return false;
  }
  const size_t body = at_;
  for (size_t end = source_.find("{%", at_); end != std::string::npos; end = source_.find("{%", end + 2)) {
    advance(end - at_);
    const char sign = sign_at(source_, end + 2);
    const size_t resume = at_;
    if (!lex_word("endraw")) {
      at_ = resume;
      continue;
    }
    const size_t after = at_;
    at_ = body;
    push_text(std::string_view(source_).substr(body, end - body), sign, false);
    at_ = after;
    return true;
  }
  line_ = line;
  reject("'raw' has no 'endraw'");
}

/// The whole tag "{% word %}"; false, at any place, when it is another.
bool Lexer::lex_word(std::string_view word) {
  advance(sign_at(source_, at_ + 2) == '\0' ? 2 : 3);
  skip_space();
  if (!looking_at(word)) return false;
  advance(word.size());
  skip_space();
  if (word == "raw" && looking_at("%}")) return advance(2), true;  // does not take the line's end
  return !(word == "raw" && looking_at("+%}")) && lex_tag_end("%}");
}

void Lexer::lex_tag(TokenKind end, std::string_view close) {
  const int begin = line_;
  for (skip_space(); at_ < source_.size(); skip_space()) {
    if (brackets_.empty() && lex_tag_end(close)) return push(end);
    lex_token();
  }
  line_ = begin;
  reject("a tag is not closed");
}

/// The tag's end with its white space: a '-' takes all that follows; trim_blocks: else a block or comment takes one
/// line end, unless a '+' is there.
bool Lexer::lex_tag_end(std::string_view close) {
  const char sign = sign_at(source_, at_);
  const bool is_variable = close == "}}";
  if (!rest().substr(sign == '\0' ? 0 : 1).starts_with(close) || (is_variable && sign == '+')) return false;
  advance(close.size() + (sign == '\0' ? 0 : 1));
  if (sign == '-') {
    skip_space();
  } else if (sign == '\0' && !is_variable && looking_at("\n")) {
    advance(1);
  }
  return true;
}

void Lexer::lex_token() {
  const char c = source_[at_];
  if (is_digit(c)) return lex_number();
  if (c == '\'' || c == '"') return lex_string();
  if (!is_letter(c)) return lex_operator();
  size_t length = 1;
  while (length < rest().size() && (is_letter(rest()[length]) || is_digit(rest()[length]))) ++length;
  push(TokenKind::kName, std::string(rest().substr(0, length)));
  advance(length);
}

void Lexer::lex_number() {
  const std::string_view text = rest();
  const auto digits = [text](size_t at) {
    while (at < text.size() &&
           (is_digit(text[at]) || (text[at] == '_' && at + 1 < text.size() && is_digit(text[at + 1]))))
      ++at;
    return at;
  };
  const size_t whole = digits(0);
  size_t end = whole;
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // x.0.1 has two indices
  if (!after_dot && end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) end = digits(end + 1);
  if (!after_dot && end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const size_t first = end + (sign_at(text, end + 1) == '\0' ? 1 : 2);
    if (first < text.size() && is_digit(text[first])) end = digits(first);
  }
  std::string number(text.substr(0, end));
  std::erase(number, '_');
  push(end == whole ? TokenKind::kInteger : TokenKind::kFloat, number);
  const auto integer = parse_number<int64_t>(number);
  const auto real = parse_number<double>(number);
  const bool padded = end == whole && number[0] == '0' && number.find_first_not_of('0') != std::string::npos;
  if (padded || (end == whole ? !integer : !real)) reject("the number {} is not supported", number);
  tokens_.back().integer = integer.value_or(0);
  tokens_.back().number = real.value_or(0);
  advance(end);
}

void Lexer::lex_string() {
  const std::string_view text = rest();
  size_t end = 1;
  while (end < text.size() && text[end] != text[0]) end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) reject("a string is not closed");
  try {
    push(TokenKind::kString, unescaped(text.substr(1, end - 1)));
  } catch (const Error& error) {
    reject("{}", error.what());
  }
  advance(end + 1);
}

void Lexer::lex_operator() {
  const auto found =
      std::find_if(kOperators.begin(), kOperators.end(), [this](std::string_view text) { return looking_at(text); });
  if (found == kOperators.end()) {
    size_t length = 0;
    next_code_point(rest(), length);
    reject("'{}' begins no token", rest().substr(0, length));
  }
  constexpr std::string_view kOpen = "([{", kClose = ")]}";
  const char c = (*found)[0];
  if (kOpen.find(c) != std::string_view::npos) brackets_ += kClose[kOpen.find(c)];
  if (kClose.find(c) != std::string_view::npos) {
    if (brackets_.empty() || brackets_.back() != c) reject("'{}' closes nothing", c);
    brackets_.pop_back();
  }
  push(TokenKind::kOperator, std::string(*found));
  advance(found->size());
}

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& origin) { return Lexer(source, origin).run(); }

}  // namespace bitloom::jinja
