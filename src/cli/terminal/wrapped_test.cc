#include "cli/terminal/wrapped.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

TEST(Wrapped, BreaksBetweenWords) {
  EXPECT_EQ(wrapped("one two three", 7, 0), "one two\nthree");
  EXPECT_EQ(wrapped("one two three", 8, 0), "one two\nthree");
  EXPECT_EQ(wrapped("one two three", 13, 0), "one two three");
  EXPECT_EQ(wrapped("one two three", 6, 2), "one\n  two\n  three");
  EXPECT_EQ(wrapped("incomprehensible it is", 5, 1), "incomprehensible\n it is");
  EXPECT_EQ(wrapped("", 5, 1), "");
}

}  // namespace
}  // namespace bitloom
