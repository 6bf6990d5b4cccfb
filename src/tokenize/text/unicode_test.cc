#include "tokenize/text/unicode.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tokenize/golden_strings.h"

namespace bitloom {
namespace {

bool is_code_point(char32_t c) { return c < 0xD800 || c >= 0xE000; }

void expect_class(bool (*predicate)(char32_t), const Json& runs) {
  std::vector<bool> expected(0x110000);
  for (const Json& run : runs) {
    for (auto c = run[0].get<size_t>(); c <= run[1].get<size_t>(); ++c) expected[c] = true;
  }
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (!is_code_point(c)) continue;
    EXPECT_EQ(predicate(c), expected[c]) << fmt::format("U+{:04X}", static_cast<uint32_t>(c));
  }
}

Json classes() { return read_json(testing::golden("tokenize/classes.json")); }

TEST(Unicode, ClassesAreThePackages) {
  const Json golden = classes();
  expect_class(is_combining_mark, golden["marks"]);
  expect_class(is_punctuation, golden["punctuation"]);
  expect_class(is_whitespace, golden["whitespace"]);
}

TEST(Unicode, BertClassesAreThePackages) {
  const Json golden = read_json(testing::golden("tokenize/bert_classes.json"));
  expect_class(is_bert_control, golden["controls"]);
  expect_class(is_bert_mark, golden["marks"]);
}

TEST(Unicode, NormalFormsOfEveryCharacterAreThePackages) {
  const std::pair<const char*, NormalForm> forms[] = {
      {"NFC", NormalForm::kNfc}, {"NFD", NormalForm::kNfd}, {"NFKC", NormalForm::kNfkc}, {"NFKD", NormalForm::kNfkd}};
  const Json golden = classes();
  std::string all;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (!is_code_point(c)) continue;
    all += "a\u0345";
    append_utf8(all, c);
    all += "\u0334\u0301.";
  }
  for (const auto& [name, form] : forms)
    EXPECT_EQ(testing::crc32(to_normal_form(all, form)), golden["normal_forms"][name].get<uint32_t>()) << name;
}

// Characters that decompose to marks of two classes, or to one that belongs before its neighbour: work quadratic in the
// run would take hours.
TEST(Unicode, LongRunsOfWhatDecomposesToMarks) {
  const auto times = [](const std::string& text, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += text;
    return out;
  };
  constexpr size_t kCount = 500000;
  EXPECT_EQ(to_normal_form("a" + times("\u0F73", kCount), NormalForm::kNfd),
            "a" + times("\u0F71", kCount) + times("\u0F72", kCount));
  EXPECT_EQ(to_normal_form("a" + times("\uFF9E\u0334", kCount), NormalForm::kNfkd),
            "a" + times("\u0334", kCount) + times("\u3099", kCount));
}

TEST(Unicode, LowerCase) { EXPECT_EQ(to_lower_case("AbÄΣİǅ ẞ"), "abäσi\u0307ǆ ß"); }

// The Unicode standard's own example of substituting maximal subparts (table 3-11), and lone bytes.
TEST(Unicode, LossyDecoding) {
  EXPECT_EQ(lossy_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                       "b\x80"
                       "c\x80\xBF"
                       "d"),
            "a\uFFFD\uFFFD\uFFFD"
            "b\uFFFD"
            "c\uFFFD\uFFFD"
            "d");
  EXPECT_EQ(lossy_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                       "A"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
            "A");
  EXPECT_EQ(lossy_utf8("\xED\xA0\x80\xF4\x91\x92\x93\xFF"
                       "A\x80\xBF"
                       "B"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"
            "A\uFFFD\uFFFD"
            "B");
  EXPECT_EQ(lossy_utf8("x\xE2\x82"), "x\uFFFD");
  EXPECT_EQ(lossy_utf8("plain ü"), "plain ü");
}

}  // namespace
}  // namespace bitloom
