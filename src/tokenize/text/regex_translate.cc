// Oniguruma's Ruby syntax to PCRE2's. Sources: Oniguruma doc/RE, pcre2pattern(3).
#include <algorithm>
#include <array>
#include <map>

#include "tokenize/text/code_set.h"
#include "tokenize/text/regex.h"

namespace bitloom {

// Property White_Space. PCRE2's \s has U+180E besides.
const char* const kSpaceClass =
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
// UTS 18 with Join_Control.
const char* const kRustWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";

namespace {

// Alphabetic, marks, decimal digits, connectors (UTS 18 annex C): \w inside a class. PCRE2's is L, N and '_'.
const char* const kWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
// \w outside one, of which Oniguruma makes more: the Latin-1 superscripts and fractions.
const char* const kLoneWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe";

// Everything but kSpaceClass.
const char* const kNotSpaceClass =
    "\\x{0}-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

// [:name:] and [:^name:] inside a class; PCRE2's are narrower. "" has no such spelling. Behind Alphabetic and Lowercase
// stands what Unicode 16 made so.
struct Bracket {
  std::string_view name;
  const char* inside;
  const char* negated;
};
const std::array kBrackets = {
    Bracket{"alnum",
            "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}-\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}-\\x{11081}\\p{Nd}",
            ""},
    Bracket{"alpha",
            "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}-\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}-\\x{11081}", ""},
    Bracket{"blank", "\\p{Zs}\\x09", ""},
    Bracket{"cntrl", "\\p{Cc}", "\\P{Cc}"},
    Bracket{"digit", "\\p{Nd}", "\\P{Nd}"},
    Bracket{"lower", "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}", ""},
    Bracket{"punct", "\\p{P}\\p{S}", ""},
    Bracket{"space", kSpaceClass, kNotSpaceClass},
    Bracket{"upper", "\\p{Uppercase}", "\\P{Uppercase}"},
    Bracket{"word", kWordClass, ""},
    Bracket{"xdigit", "0-9a-fA-F", ""},
};

// Each class to combine is looked up for every character.
constexpr size_t kMaxSets = 32;
constexpr int kMaxDepth = 16;

class Translator {
 public:
  Translator(const std::string& pattern, const JsonNode& where) : in_(pattern), where_(&where) {}

  std::string run() {
    while (at_ < in_.size()) step();
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
    if (c == '[') return whole_class();
    if (c == '{') return interval();
    if (starts("(?")) return group();
    copy(1);
  }

  void copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  /// A flat class is copied, its members rewritten. PCRE2 knows neither classes in classes nor '&&': such a class
  /// becomes the list of its members.
  void whole_class() {
    const ParsedClass parsed = parse_class(0);
    if (parsed.flat) {
      out_ += parsed.text;
      return;
    }
    const std::string inside = parsed.set.inside_of_class();
    out_ += inside.empty() ? "(?!)" : "[" + inside + "]";
  }

  struct ParsedClass {
    bool flat = true;
    std::string text;  // when flat: in PCRE2's syntax
    CodeSet set;       // else
  };

  /// From '[' to its ']': items, of which each side of an '&&' has its own.
  ParsedClass parse_class(int depth) {
    if (depth > kMaxDepth) reject(fmt::format("nests character classes deeper than {}", kMaxDepth));
    ++at_;
    const bool negated = starts("^");
    if (negated) ++at_;
    Side side;
    std::optional<CodeSet> before;  // the sides in front of this one
    if (starts("]")) {              // a literal ']' when first
      side.items = "\\]";
      ++at_;
    }
    for (; !starts("]"); class_item(side, depth)) {
      if (at_ >= in_.size()) reject("has an unclosed '['");
      if (!starts("&&")) continue;
      before = set_of(side, before);
      side = {};
      at_ += 2;
    }
    ++at_;
    if (!before && !side.nested) return {true, (negated ? "[^" : "[") + side.items + "]", {}};
    const CodeSet set = set_of(side, before);
    return {false, "", negated ? set.complement() : set};
  }

  struct Side {
    std::string items;              // in PCRE2's syntax
    std::optional<CodeSet> nested;  // classes among them
  };

  void class_item(Side& side, int depth) {
    if (at_ >= in_.size() || starts("&&") || starts("]")) return;
    if (in_[at_] == '[' && !starts("[:")) {
      const ParsedClass inner = parse_class(depth + 1);
      const CodeSet set = inner.flat ? members(inner.text) : inner.set;
      side.nested = side.nested ? side.nested->united_with(set) : set;
      return;
    }
    std::swap(out_, side.items);
    in_class_ = true;
    if (in_[at_] == '\\') {
      escape();
    } else if (starts("[:")) {
      bracket();
    } else {
      copy(1);
    }
    in_class_ = false;
    std::swap(out_, side.items);
  }

  /// The members of this side that are in the sides before it too.
  CodeSet set_of(const Side& side, const std::optional<CodeSet>& before) {
    if (side.items.empty() && !side.nested) reject("has '&&' with nothing on one side");
    CodeSet set = side.nested.value_or(CodeSet());
    if (!side.items.empty()) set = set.united_with(members("[" + side.items + "]"));
    return before ? before->intersected_with(set) : set;
  }

  const CodeSet& members(const std::string& text) {
    const auto known = members_.find(text);
    if (known != members_.end()) return known->second;
    if (members_.size() == kMaxSets) reject(fmt::format("has more than {} classes to combine", kMaxSets));
    try {
      return members_.emplace(text, CodeSet(text)).first->second;
    } catch (const Error& error) {
      reject(fmt::format("has a class of which PCRE2 says: {}", error.what()));
    }
  }

  void bracket() {
    const size_t end = in_.find(":]", at_);
    if (end == std::string::npos) reject("has an unclosed '[:'");
    const std::string_view text = std::string_view(in_).substr(at_, end + 2 - at_);
    const bool negated = text[2] == '^';
    const std::string_view name = text.substr(negated ? 3 : 2, text.size() - (negated ? 5 : 4));
    const auto* known =
        std::find_if(kBrackets.begin(), kBrackets.end(), [&](const Bracket& b) { return b.name == name; });
    const std::string replacement = known == kBrackets.end() ? "" : negated ? known->negated : known->inside;
    if (replacement.empty()) reject(fmt::format("has '{}', which bitloom does not support", text));
    out_ += replacement;
    at_ += text.size();
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
    if (letter == 'p' || letter == 'P') return property();
    if (letter == 'Q' || letter == 'E') reject_escape(letter);
    const std::string replacement = in_class_ ? class_escape(letter) : plain_escape(letter);
    if (replacement.empty()) return copy(2);
    out_ += replacement;
    at_ += 2;
  }

  [[noreturn]] void reject_escape(char letter) const {
    reject(fmt::format("has '\\{}', which is no escape of Oniguruma's", letter));
  }

  // A script is that property alone; PCRE2 takes the script extensions too.
  void property() {
    const size_t end = in_.find('}', at_);
    if (!std::string_view(in_).substr(at_ + 2).starts_with('{') || end == std::string::npos)
      reject_escape(in_[at_ + 1]);
    const std::string body = in_.substr(at_ + 3, end - at_ - 3);
    const bool negated = body.starts_with('^');
    const std::string name = body.substr(negated ? 1 : 0);
    out_ += fmt::format("\\{}{{{}{}{}}}", in_[at_ + 1], negated ? "^" : "", is_script(name) ? "sc:" : "", name);
    at_ = end + 1;
  }

  static std::string plain_escape(char letter) {
    const std::string word = std::string("[") + kLoneWordClass + "]";
    switch (letter) {
      case 's':
        return std::string("[") + kSpaceClass + "]";
      case 'S':
        return std::string("[^") + kSpaceClass + "]";
      case 'w':
        return word;
      case 'W':
        return std::string("[^") + kLoneWordClass + "]";
      case 'h':
        return "[0-9a-fA-F]";
      case 'H':
        return "[^0-9a-fA-F]";
      case 'v':
        return "\\x0b";
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
      case 'v':
        return "\\x0b";
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
  std::map<std::string, CodeSet> members_;  // of flat classes, by their text
};

}  // namespace

std::string translate_oniguruma(const std::string& pattern, const JsonNode& where) {
  return Translator(pattern, where).run();
}

}  // namespace bitloom
