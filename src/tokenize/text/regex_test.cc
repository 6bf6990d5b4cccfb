#include "tokenize/text/regex.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenize/golden_strings.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

const Json kNothing;
const std::string kOrigin = "tokenizer.json";

JsonNode place() { return JsonNode(kNothing, "pre_tokenizer.pattern.Regex", kOrigin); }

// Matches in brackets, the rest as it is.
std::string marked(const std::string& pattern, std::string_view text) {
  const Regex regex(pattern, place());
  RegexScratch scratch;
  std::string out;
  regex.split(text, scratch, [&](size_t begin, size_t end, bool match) {
    const std::string part(text.substr(begin, end - begin));
    out += match ? "[" + part + "]" : part;
  });
  return out;
}

void expect_refused(const std::string& pattern, const std::string& message) {
  try {
    const Regex regex(pattern, place());
    ADD_FAILURE() << pattern << " was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kRefused);
    EXPECT_THAT(e.what(),
                ::testing::StartsWith("tokenizer.json: pre_tokenizer.pattern.Regex is the regex '" + pattern));
    EXPECT_THAT(e.what(), ::testing::HasSubstr(message));
  }
}

// Expected values: Oniguruma through the tokenizers package's Split.
TEST(Regex, MatchesAsOnigurumaDoes) {
  EXPECT_EQ(marked("\\s+(?!\\S)|\\s+", "a  b \n"), "a[ ][ ]b[ \n]");
  EXPECT_EQ(marked("(?i:'s|'t)", "it'S \u017Fx'\u017F"), "it['S] \u017Fx['\u017F]");
  EXPECT_EQ(marked("\\s", "a\u180Eb\u2003c"), "a\u180Eb[\u2003]c");
  EXPECT_EQ(marked("\\h", "fg0"), "[f]g[0]");
  EXPECT_EQ(marked("[\\h]{,2}x", "ffax"), "f[fax]");
  EXPECT_EQ(marked("^.", "ab\ncd"), "[a]b\n[c]d");
  EXPECT_EQ(marked("(?m:a.b)|a.c", "a\nba\nc"), "[a\nb]a\nc");
  EXPECT_EQ(marked("[]a]+", "x]a["), "x[]a][");
  EXPECT_EQ(marked("[[:digit:]]+", "a12"), "a[12]");
  EXPECT_EQ(marked("\\bx\\b", "x x\u0301 \u0301x"), "[x] x\u0301 \u0301x");
  EXPECT_EQ(marked("a++b", "aaab"), "[aaab]");
}

// Over every character that was assigned in Unicode 14.
void expect_members(const Json& characters, const Json& patterns) {
  for (const auto& [pattern, expected] : patterns.items()) {
    const Regex regex(pattern, place());
    RegexScratch scratch;
    std::string members;
    for (const Json& run : characters) {
      for (auto c = run[0].get<char32_t>(); c <= run[1].get<char32_t>(); ++c) {
        std::string text;
        append_utf8(text, c);
        members += regex.contains(text, scratch) ? '1' : '0';
      }
    }
    EXPECT_EQ(testing::crc32(members), expected.get<uint32_t>()) << pattern;
  }
}

TEST(Regex, ClassesAreOnigurumas) {
  const Json golden = read_json(testing::golden("tokenize/classes.json"))["regex"];
  expect_members(golden["characters"], golden["members"]);
}

// tests/oracle/tokenize_class_sets.py
TEST(Regex, ClassesOfClassesAreOnigurumas) {
  const Json characters = read_json(testing::golden("tokenize/classes.json"))["regex"]["characters"];
  expect_members(characters, read_json(testing::golden("tokenize/class_sets.json")));
}

TEST(Regex, ManyClassesToCombineAreRefused) {
  std::string pattern = "[a";
  for (char c = '!'; c < '!' + 40; ++c) pattern += fmt::format("[\\x{:02x}b]", static_cast<int>(c));
  expect_refused(pattern + "]", "has more than 32 classes to combine");
}

TEST(Regex, EmptyMatchBehindAMatchIsNone) {
  EXPECT_EQ(marked("x*", "axxb"), "[]a[xx]b[]");
  EXPECT_EQ(marked("(?=b)", "abb"), "a[]b[]b");
}

TEST(Regex, RefusesWhatItCannotDo) {
  expect_refused("[a-z&&]", "has '&&' with nothing on one side");
  expect_refused("[&&a]", "has '&&' with nothing on one side");
  expect_refused("[a&&[z-a]]", "has a class of which PCRE2 says: regex '[z-a]+' at 3: range out of order");
  expect_refused("[a&&[b]", "has an unclosed '['");
  expect_refused("[a&&", "has an unclosed '['");
  expect_refused(std::string(18, '[') + "a" + std::string(18, ']'), "nests character classes deeper than 16");
  expect_refused("[\\W]", "has '\\W' inside a class, which bitloom does not support");
  expect_refused("[[:graph:]]", "has '[:graph:]', which bitloom does not support");
  expect_refused("[[:^punct:]]", "has '[:^punct:]', which bitloom does not support");
  expect_refused("[[:digit]", "has an unclosed '[:'");
  expect_refused("\\pL", "has '\\p', which is no escape of Oniguruma's");
  expect_refused("\\Qa\\E", "has '\\Q', which is no escape of Oniguruma's");
  expect_refused("a{1,3}+", "has '{}+', which bitloom does not support");
  expect_refused("(a", "missing closing parenthesis");
  expect_refused("[a", "has an unclosed '['");
  expect_refused("a\\", "ends in a backslash");
  expect_refused("\\C", "using \\C is disabled");
}

TEST(Regex, TooManyStepsAreAnErrorNotAHang) {
  const Regex regex("(?:a+)+$", place());
  RegexScratch scratch;
  try {
    regex.split(std::string(64, 'a') + "b", scratch, [](size_t, size_t, bool) {});
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kFailed);
    EXPECT_STREQ(e.what(), "tokenizer regex at byte 0 of the text: match limit exceeded");
  }
}

// A run longer than the JIT's stack takes the other way through the library.
TEST(Regex, LongRuns) {
  const Regex regex("(?:ab|c)+", place());
  RegexScratch scratch;
  std::string text;
  for (int i = 0; i < 300000; ++i) text += i % 3 ? "ab" : "c";
  size_t longest = 0;
  regex.split(text, scratch, [&](size_t begin, size_t end, bool) { longest = std::max(longest, end - begin); });
  EXPECT_EQ(longest, text.size());
}

}  // namespace
}  // namespace bitloom
