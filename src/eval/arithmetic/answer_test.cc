#include "eval/arithmetic/answer.h"

#include <gtest/gtest.h>

namespace bitloom::arithmetic {
namespace {

TEST(Answer, ReadsTheOneNumberOfAReply) {
  struct Case {
    const char* reply;
    bool repeats;
    const char* digits;  // nullptr: invalid
    const char* written;
  };
  const Case cases[] = {
      {"21794867", false, "21794867", "21794867"},
      {" 21,794,867 ", false, "21794867", "21,794,867"},
      {"The answer is 1 234.", false, "1234", "1 234"},
      {"1, 2", false, "12", "1, 2"},  // any run of separators joins
      {"$1#2.3", false, "123", "1#2.3"},
      {"007", false, "7", "007"},
      {"0", false, "0", "0"},
      {"000", false, "0", "000"},
      {"12x", false, "12", "12"},
      {"", false, nullptr, ""},
      {"I cannot say", false, nullptr, ""},
      {"12 or 13", false, nullptr, ""},
      {"12+13=25", false, nullptr, ""},
      {"-5", false, nullptr, ""},
      {"12+13=25", true, "25", "25"},
      {"7,778,640 + 14,016,227 = 21,794,867", true, "21794867", "21,794,867"},
      {"12+13=25=25", true, "25", "25"},
      {"25", true, "25", "25"},
      {"12+13", true, nullptr, ""},
      {"12+13=", true, nullptr, ""},
      {"12+13=-25", true, nullptr, ""},
  };
  for (const Case& c : cases) {
    const Answer answer = read_answer(c.reply, c.repeats);
    ASSERT_EQ(answer.valid, c.digits != nullptr) << c.reply;
    EXPECT_EQ(answer.written, c.written) << c.reply;
    if (c.digits == nullptr) continue;
    EXPECT_EQ(answer.digits, c.digits) << c.reply;
    EXPECT_EQ(std::string(c.reply).substr(answer.begin, answer.end - answer.begin), c.written);
  }
}

TEST(Answer, LongNumbersAreValidWithoutAValue) {
  EXPECT_EQ(read_answer("999999999999999999", false).value, 999999999999999999);
  const Answer longer = read_answer("1999999999999999999", false);
  EXPECT_TRUE(longer.valid);
  EXPECT_EQ(longer.digits, "1999999999999999999");
  EXPECT_FALSE(longer.value);
  EXPECT_EQ(read_answer("00000000000000000000000012", false).value, 12);
}

}  // namespace
}  // namespace bitloom::arithmetic
