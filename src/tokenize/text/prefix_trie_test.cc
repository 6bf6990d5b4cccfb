#include "tokenize/text/prefix_trie.h"

#include <gtest/gtest.h>

#include <string>

namespace bitloom {
namespace {

std::string found(const PrefixTrie& trie, std::string_view text) {
  std::string out;
  trie.prefixes(text, [&](size_t length, int32_t value) {
    out += std::string(text.substr(0, length)) + "=" + std::to_string(value) + " ";
  });
  return out;
}

TEST(PrefixTrie, FindsAllThatATextBeginsWithShortestFirst) {
  const PrefixTrie trie(
      {{"abc", 3}, {"a", 1}, {"", 0}, {"b", 4}, {"ab", 2}, {"\xFF\xFE", 5}, {std::string_view("a\0", 2), 6}});
  EXPECT_EQ(found(trie, "abcd"), "a=1 ab=2 abc=3 ");
  EXPECT_EQ(found(trie, "abd"), "a=1 ab=2 ");
  EXPECT_EQ(found(trie, "ba"), "b=4 ");
  EXPECT_EQ(found(trie, "\xFF\xFE"), "\xFF\xFE=5 ");
  EXPECT_EQ(found(trie, std::string_view("a\0b", 3)), std::string("a=1 a\0=6 ", 9));
  EXPECT_EQ(found(trie, "cab"), "");
  EXPECT_EQ(found(trie, ""), "");
  EXPECT_EQ(found(PrefixTrie(), "a"), "");
}

}  // namespace
}  // namespace bitloom
