// Oniguruma's Ruby syntax to PCRE2's. Sources: Oniguruma doc/RE, pcre2pattern(3).
#include "tokenize/regex.h"

namespace bitloom {

// Property White_Space. PCRE2's \s has U+180E besides.
const char* const kSpaceClass =
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
// Alphabetic, marks, decimal digits, connectors (UTS 18 annex C), and Oniguruma's own: the Latin-1 superscripts and
// fractions. PCRE2's \w is L, N and '_'.
const char* const kWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe";
// UTS 18 with Join_Control.
const char* const kRustWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";

namespace {

// Everything but kSpaceClass.
const char* const kNotSpaceClass =
    "\\x{0}-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

class Translator {
 public:
  Translator(const std::string& pattern, const JsonNode& where) : in_(pattern), where_(&where) {}

  std::string run() {
    while (at_ < in_.size()) step();
    if (in_class_) reject("has an unclosed '['");
    return out_;
  }

 private:
  [[noreturn]] void reject(const std::string& what) const {
    where_->reject(fmt::format("is the regex '{}', which {}", in_, what));
  }

  bool starts(std::string_view text) const { return std::string_view(in_).substr(at_).starts_with(text); }

  void step() {
    const char c = in_[at_];
    if (c == '\\') return escape();
    if (in_class_) return class_member(c);
    if (c == '[') return open_class();
    if (c == '{') return interval();
    if (starts("(?")) return group();
    copy(1);
  }

  void copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (starts("^")) copy(1);
    if (starts("]")) {  // a literal ']' when first
      out_ += "\\]";
      ++at_;
    }
  }

  void class_member(char c) {
    if (c == ']') {
      in_class_ = false;
      copy(1);
    } else if (starts("[:")) {
      const size_t end = in_.find(":]", at_);
      if (end == std::string::npos) reject("has an unclosed '[:'");
      copy(end + 2 - at_);
    } else if (c == '[') {
      reject("nests character classes; bitloom supports only flat ones");
    } else if (starts("&&")) {
      reject("intersects character classes with '&&', which bitloom does not support");
    } else {
      copy(1);
    }
  }

  // {,n} is {0,n} in Ruby, and {n,m}+ repeats instead of being possessive.
  void interval() {
    const size_t end = in_.find('}', at_);
    const std::string body = end == std::string::npos ? "" : in_.substr(at_ + 1, end - at_ - 1);
    if (body.empty() || body.find_first_not_of("0123456789,") != std::string::npos) return copy(1);
    if (end + 1 < in_.size() && in_[end + 1] == '+') reject("has '{}+', which bitloom does not support");
    out_ += body.front() == ',' ? "{0" + body + "}" : "{" + body + "}";
    at_ = end + 1;
  }

  // In Ruby (?m) lets the dot match a newline, which is (?s) in PCRE2.
  void group() {
    size_t end = at_ + 2;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos) ++end;
    const bool flags = end > at_ + 2 && end < in_.size() && (in_[end] == ':' || in_[end] == ')');
    if (!flags) return copy(2);
    std::string text = in_.substr(at_, end + 1 - at_);
    for (char& c : text) c = c == 'm' ? 's' : c;
    out_ += text;
    at_ = end + 1;
  }

  void escape() {
    if (at_ + 1 >= in_.size()) reject("ends in a backslash");
    const char letter = in_[at_ + 1];
    const std::string replacement = in_class_ ? class_escape(letter) : plain_escape(letter);
    if (replacement.empty()) return copy(2);
    out_ += replacement;
    at_ += 2;
  }

  static std::string plain_escape(char letter) {
    const std::string word = std::string("[") + kWordClass + "]";
    switch (letter) {
      case 's':
        return std::string("[") + kSpaceClass + "]";
      case 'S':
        return std::string("[^") + kSpaceClass + "]";
      case 'w':
        return word;
      case 'W':
        return std::string("[^") + kWordClass + "]";
      case 'h':
        return "[0-9a-fA-F]";
      case 'H':
        return "[^0-9a-fA-F]";
      case 'b':
        return "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))";
      case 'B':
        return "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))";
      default:
        return "";
    }
  }

  std::string class_escape(char letter) const {
    switch (letter) {
      case 's':
        return kSpaceClass;
      case 'S':
        return kNotSpaceClass;
      case 'w':
        return kWordClass;
      case 'h':
        return "0-9a-fA-F";
      case 'W':
      case 'H':
        reject(fmt::format("has '\\{}' inside a class, which bitloom does not support", letter));
      default:
        return "";
    }
  }

  const std::string& in_;
  const JsonNode* where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string translate_oniguruma(const std::string& pattern, const JsonNode& where) {
  return Translator(pattern, where).run();
}

}  // namespace bitloom
