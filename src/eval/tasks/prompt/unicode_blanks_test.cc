#include "eval/tasks/prompt/unicode_blanks.h"

#include <gtest/gtest.h>

#include <string>

namespace bitloom {
namespace {

TEST(UnicodeBlanks, AtTheEndAlone) {
  EXPECT_EQ(trailing_blanks(""), 0u);
  EXPECT_EQ(trailing_blanks("a b"), 0u);
  EXPECT_EQ(trailing_blanks(" a \n\t\r\v\f"), 6u);
  EXPECT_EQ(trailing_blanks("   "), 3u);
  EXPECT_EQ(trailing_blanks("a\x1c\x1f"), 2u);
  EXPECT_EQ(trailing_blanks("a\x1b"), 0u);
}

TEST(UnicodeBlanks, OfSeveralBytes) {
  EXPECT_EQ(trailing_blanks("a\u00a0"), 2u);
  EXPECT_EQ(trailing_blanks("a\u3000\u2009 "), 7u);
  EXPECT_EQ(trailing_blanks("a\u200b"), 0u);  // zero width space is none
  EXPECT_EQ(trailing_blanks("a\U0001F600 "), 1u);
  EXPECT_EQ(trailing_blanks("\u00e9"), 0u);
}

}  // namespace
}  // namespace bitloom
