#include "eval/arithmetic/problem/condition.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_data.h"
#include "eval/arithmetic/answer.h"

namespace bitloom::arithmetic {
namespace {

std::string formatted(int64_t number, const std::string& format) {
  return format_number(number, parse_number_format(format, "--formats"));
}

std::string message_of(const std::string& condition) {
  return testing::message_of(ErrorKind::kUsage, [&] { parse_condition(condition); });
}

TEST(NumberFormat, WritesChunksFromEitherSide) {
  struct Case {
    const char* format;
    int64_t number;
    const char* text;
  };
  const Case cases[] = {{"nosep", 10642122, "10642122"},
                        {"comma_r2l", 10642122, "10,642,122"},
                        {"comma_l2r", 10642122, "106,421,22"},
                        {"space_r2l", 1064, "1 064"},
                        {"space_l2r", 1064, "106 4"},
                        {"dec_r2l", 123456789, "123.456.789"},
                        {"dec_l2r", 7, "7"},
                        {"hashtag_r2l", 1000, "1#000"},
                        {"hashtag_l2r", 1000, "100#0"},
                        {"dollar_r2l", 12, "12"},
                        {"dollar_l2r", 123, "123"}};
  for (const Case& c : cases) EXPECT_EQ(formatted(c.number, c.format), c.text) << c.format;
}

// What every format writes is read back as the number, wherever it stands.
TEST(NumberFormat, RoundTripsThroughTheAnswer) {
  ASSERT_EQ(number_format_names().size(), 11U);
  Rng rng(4, 4);
  for (const std::string& name : number_format_names()) {
    const NumberFormat format = parse_number_format(name, "--formats");
    for (int i = 0; i < 300; ++i) {
      const int64_t number = rng.next_u32() >> (i % 30);
      const Answer answer = read_answer("  " + format_number(number, format) + " ", false);
      ASSERT_EQ(answer.value, number) << name;
      ASSERT_EQ(answer.written, format_number(number, format)) << name;
      std::string joined;
      for (const std::string& chunk : chunks_of(std::to_string(number), format)) joined += chunk;
      ASSERT_EQ(joined, std::to_string(number));
    }
  }
}

TEST(Condition, QuestionsAndReplies) {
  const Exercise sum = exercise_of({7778640, 14016227}, Operation::kAdd);
  struct Case {
    const char* condition;
    const char* question;
    const char* reply;
  };
  const Case cases[] = {
      {"nosep", "7778640+14016227=", "21794867"},
      {"nosep+1", "7778640 + 14016227 = ", "21794867"},
      {"nosep+2", "7778640  +  14016227  =  ", "21794867"},
      {"comma_l2r", "777,864,0+140,162,27=", "217,948,67"},
      {"comma_r2l>nosep", "7,778,640+14,016,227=", "21794867"},
      {"nosep>comma_r2l>nosep", "7778640+14016227=", "7,778,640+14,016,227=21794867"},
      {"comma_r2l>nosep>space_r2l", "7,778,640+14,016,227=", "7778640+14016227=21 794 867"},
  };
  for (const Case& c : cases) {
    const Condition condition = parse_condition(c.condition);
    EXPECT_EQ(condition.name, c.condition);
    EXPECT_EQ(question_of(sum, condition), c.question);
    EXPECT_EQ(reply_of(sum, condition), c.reply);
  }
  EXPECT_EQ(question_of(exercise_of({12, 3456}, Operation::kSubtract), parse_condition("comma_r2l")), "3,468-3,456=");
  EXPECT_EQ(question_of(exercise_of({12, 3456}, Operation::kMultiply), parse_condition("dec_r2l")), "12*3.456=");
}

TEST(Condition, RefusesUnknownFormats) {
  const std::string all =
      "nosep, comma_r2l, comma_l2r, space_r2l, space_l2r, dec_r2l, dec_l2r, hashtag_r2l, hashtag_l2r, dollar_r2l, "
      "dollar_l2r";
  EXPECT_EQ(message_of("coma_r2l"),
            "--formats: no number format \"coma_r2l\" (did you mean 'comma_r2l'?); there are " + all);
  EXPECT_EQ(message_of("nosep>"), "--formats: no number format \"\"; there are " + all);
  EXPECT_EQ(message_of("a>b>c>d"), "--formats: \"a>b>c>d\" has more than three parts: QUERY>REPEAT>ANSWER");
  EXPECT_NE(message_of("nosep+3"), "");
}

}  // namespace
}  // namespace bitloom::arithmetic
