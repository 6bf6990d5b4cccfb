#include "calibration/token_lines.h"

#include <gmock/gmock.h>

#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::message_of;

std::string refusal(const std::string& text) {
  return message_of(ErrorKind::kRefused, [&] { parse_token_lines(text, 100, "t"); });
}

TEST(TokenLines, AreArraysOrWords) {
  const std::vector<std::vector<int32_t>> expected = {{1, 99, 0}, {}, {5}, {2, 3, 4}};
  EXPECT_EQ(parse_token_lines("[1, 99,0]\n[]\n\n \t\n5\r\n 2 3\t4 ", 100, "t"), expected);
}

TEST(TokenLines, AreRefusedByLine) {
  EXPECT_EQ(refusal("1 2\n\n3 100 4\n"), "t: line 3: id 100 is outside the vocabulary (0 to 99)");
  EXPECT_EQ(refusal("[1, -1]"), "t: line 1: id -1 is outside the vocabulary (0 to 99)");
  EXPECT_EQ(refusal("1\nnine\n"), "t: line 2: 'nine' is no token id");
  EXPECT_EQ(refusal("1 2.5"), "t: line 1: '2.5' is no token id");
  EXPECT_EQ(refusal("1, 2"), "t: line 1: '1,' is no token id");
  EXPECT_EQ(refusal("99999999999999999999"), "t: line 1: '99999999999999999999' is no token id");
  EXPECT_EQ(refusal("[18446744073709551615]"), "t: line 1: 18446744073709551615 is no token id");
  EXPECT_EQ(refusal("[1, 2.0]"), "t: line 1: 2.0 is no token id");
  EXPECT_EQ(refusal("[1, [2]]"), "t: line 1: [2] is no token id");
  EXPECT_THAT(refusal("1\n[1, 2"), ::testing::StartsWith("t: line 2: not valid JSON at byte "));
  EXPECT_EQ(refusal("1\n\xFF"), "t: line 2: invalid UTF-8 (byte 0xff at offset 2)");
  EXPECT_EQ(refusal(" \n\n"), "t: no token ids in it");
}

}  // namespace
}  // namespace bitloom
