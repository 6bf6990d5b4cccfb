#pragma once
// Regular expressions as tokenizer.json spells them (Oniguruma, Ruby syntax), run by PCRE2 with JIT.
//
// Goals: the matches that Oniguruma would find. Classes that the two define differently (\s \w \h \v \b, [:alpha:],
// newlines and anchors, {,n}) are rewritten, and so are classes in classes and their intersection; a construct that
// cannot be (\W inside a class, {n,m}+) is refused. Limit: characters that are newer than PCRE2's Unicode (14 in 10.42) are no letters, digits or marks.
// Non-goal: captures.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "tokenize/json/json_node.h"
#include "tokenize/text/function_ref.h"

struct pcre2_real_code_8;

namespace bitloom {

/// What a search needs besides the pattern. One per call of encode, never shared between threads.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

  struct State;
  State& state();  // made at the first search

 private:
  std::unique_ptr<State> state_;
};

class Regex {
 public:
  /// `where` is the place to complain about.
  Regex(const std::string& pattern, const JsonNode& where);
  /// A pattern in PCRE2's own syntax, of ours.
  explicit Regex(const std::string& pcre2_pattern);

  /// Gives out all of `text` in order, as matches and what lies between them. An empty match right behind a match is
  /// none. Error(kFailed) when the pattern needs too many steps on this text.
  void split(std::string_view text, RegexScratch& scratch,
             FunctionRef<void(size_t begin, size_t end, bool match)> part) const;
  bool contains(std::string_view text, RegexScratch& scratch) const;

 private:
  bool search(std::string_view text, size_t from, RegexScratch::State& state, size_t& begin, size_t& end) const;

  std::shared_ptr<const pcre2_real_code_8> code_;
  bool jit_ = false;
};

/// The pattern rewritten for PCRE2 (see above). `where` is the place to complain about.
std::string translate_oniguruma(const std::string& pattern, const JsonNode& where);

/// Whether PCRE2 knows a script of this name.
bool is_script(const std::string& name);

/// The inside of a PCRE2 class equal to \s of the field's regex libraries, and to \w of Rust's regex.
extern const char* const kSpaceClass;
extern const char* const kRustWordClass;

}  // namespace bitloom
