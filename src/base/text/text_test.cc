#include "base/text/text.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace bitloom {
namespace {

TEST(Text, NearestSpelling) {
  const std::vector<std::string> verbs = {"quantize", "eval", "run", "verify"};
  EXPECT_EQ(nearest_spelling("quantise", verbs), "quantize");
  EXPECT_EQ(nearest_spelling("evl", verbs), "eval");
  EXPECT_EQ(nearest_spelling("completely different", verbs), "");
  EXPECT_EQ(did_you_mean("verfy", verbs), " (did you mean 'verify'?)");
  EXPECT_EQ(did_you_mean("zzzzzz", verbs), "");
  // Swapped neighbours are one mistake, in short words too: "gtpq" is nearer to "gptq" than any one-letter change.
  const std::vector<std::string> parts = {"awq", "gptq"};
  EXPECT_EQ(nearest_spelling("gtpq", parts), "gptq");
  EXPECT_EQ(nearest_spelling("aqw", parts), "awq");
  EXPECT_EQ(nearest_spelling("qgtp", parts), "");
}

// With every distance computed this takes minutes.
TEST(Text, NearestSpellingOfALongWordIsCheap) {
  const std::vector<std::string> candidates(2000, std::string(1000, 'a'));
  EXPECT_EQ(nearest_spelling(std::string(90000, 'a'), candidates), "");
  EXPECT_EQ(nearest_spelling("a", candidates), "");
}

TEST(Text, GlobMatchesWholeNames) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*.down_proj.weight", "model.layers.3.mlp.down_proj.weight"));
  EXPECT_TRUE(glob_match("model.layers.?.*", "model.layers.3.mlp"));
  EXPECT_FALSE(glob_match("model.layers.?.*", "model.layers.13.mlp"));
  EXPECT_FALSE(glob_match("down", "down_proj"));
  EXPECT_TRUE(glob_match("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(glob_match("a*b*c", "a-b-b-d"));
}

TEST(Text, Bytes) {
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.50 KiB");
  EXPECT_EQ(human_bytes(int64_t{5} << 30), "5.00 GiB");
  EXPECT_EQ(parse_bytes("5G", "--shard-size"), int64_t{5} << 30);
  EXPECT_EQ(parse_bytes("5GB", "--shard-size"), int64_t{5} << 30);
  EXPECT_EQ(parse_bytes("5GiB", "--shard-size"), int64_t{5} << 30);
  EXPECT_EQ(parse_bytes("1.5K", "--mem"), 1536);
  EXPECT_EQ(parse_bytes("4096", "--mem"), 4096);
  for (const char* wrong : {"", "G", "5X", "-1G", "5B", "5GX", "5BB", "0", "0.5", "0.0001K", "nan", "1e30"}) {
    EXPECT_THROW(parse_bytes(wrong, "--mem"), Error) << wrong;
  }
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
}

TEST(Text, Utf8) {
  EXPECT_EQ(first_invalid_utf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 10u);
  const std::pair<const char*, size_t> wrong[] = {
      {"ab\xC3", 2},           {"a\x80", 1},         {"\xC0\x80", 0},
      {"\xE0\x80\x80", 0},     {"x\xED\xA0\x80", 1}, {"\xF4\x90\x80\x80", 0},
      {"\xF0\x80\x80\x80", 0}, {"\xFF", 0},
  };
  for (const auto& [text, at] : wrong) EXPECT_EQ(first_invalid_utf8(text), at) << text;
}

TEST(Characters, AreCodePoints) {
  EXPECT_EQ(count_characters(""), 0);
  EXPECT_EQ(count_characters("ab c"), 4);
  EXPECT_EQ(count_characters("\u00e9\u20ac\U0001F600"), 3);
}

}  // namespace
}  // namespace bitloom
