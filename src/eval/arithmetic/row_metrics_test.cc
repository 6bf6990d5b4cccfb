#include "eval/arithmetic/row_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int> threes_from_left(size_t digits) {
  std::vector<int> out(digits / 3, 3);
  if (digits % 3 != 0) out.push_back(static_cast<int>(digits % 3));
  return out;
}

RowMetrics metrics_of(const Exercise& exercise, const std::string& reply, const std::string& condition = "nosep") {
  const Answer answer = read_answer(reply, false);
  const RowChunks chunks{threes_from_left(answer.digits.size()),
                         threes_from_left(std::to_string(exercise.first).size()),
                         threes_from_left(std::to_string(exercise.second).size())};
  return row_metrics(exercise, parse_condition(condition), answer, chunks);
}

// 123456 + 789 = 124245, tokens 123|456 + 789 = 124|245.
TEST(RowMetrics, EveryKindOfAnswer) {
  struct Case {
    const char* reply;
    AnswerKind kind;
  };
  const Case cases[] = {
      {"124245", AnswerKind::kCorrect},
      {"124,245", AnswerKind::kCorrect},
      {"it is 124245, I think", AnswerKind::kCorrect},
      {"", AnswerKind::kInvalid},
      {"124245 or 124246", AnswerKind::kInvalid},
      {"124246", AnswerKind::kOffByOne},       // 1: nothing is carried into the last digit
      {"123245", AnswerKind::kOffByOneAtEnd},  // 1000: last digit of the first token, a carry missed
      {"124345", AnswerKind::kOffByOne},       // 100: first digit of the second token
      {"124235", AnswerKind::kOffByOne},       // 10: inside
      {"912456", AnswerKind::kLeftAligned},    // 123456 + 789000
      {"1231245", AnswerKind::kChunkwise},     // 123 | 456 + 789
      {"123545", AnswerKind::kDroppedDigit},   // 123456 + 89
      {"14245", AnswerKind::kDroppedDigit},    // 13456 + 789
      {"12424", AnswerKind::kWrongLength},
      {"1242450", AnswerKind::kWrongLength},
      {"12345678901234567890", AnswerKind::kWrongLength},
      {"124945", AnswerKind::kOneDigit},
      {"125945", AnswerKind::kSeveralDigits},
  };
  const Exercise sum = exercise_of({123456, 789}, Operation::kAdd);
  for (const Case& c : cases) EXPECT_EQ(metrics_of(sum, c.reply).kind, c.kind) << c.reply;
}

TEST(RowMetrics, ErrorsByDigitAndToken) {
  const Exercise sum = exercise_of({123456, 789}, Operation::kAdd);
  const RowMetrics several = metrics_of(sum, "125945");
  EXPECT_THAT(several.digit_errors, ElementsAre(0, 0, 1, 7, 0, 0));
  EXPECT_THAT(several.token_errors, ElementsAre(true, true));
  EXPECT_EQ(several.error, 1700);
  EXPECT_FALSE(several.off_by_one_power);
  const RowMetrics one = metrics_of(sum, "124945");
  EXPECT_THAT(one.digit_errors, ElementsAre(0, 0, 0, 7, 0, 0));
  EXPECT_THAT(one.token_errors, ElementsAre(false, true));
  const RowMetrics longer = metrics_of(sum, "1242450");
  EXPECT_FALSE(longer.right_length);
  EXPECT_THAT(longer.digit_errors, IsEmpty());
  EXPECT_THAT(longer.token_errors, IsEmpty());
  EXPECT_EQ(longer.error, 1118205);
  EXPECT_FALSE(metrics_of(sum, "12345678901234567890").error);
}

// The mask follows the tokens that the answer has: 1|24|245 is a cut no rule gives.
TEST(RowMetrics, ChunksAreTheActualTokens) {
  const Exercise sum = exercise_of({123456, 789}, Operation::kAdd);
  const RowMetrics row =
      row_metrics(sum, parse_condition("nosep"), read_answer("134245", false), {{1, 2, 3}, {3, 3}, {3}});
  EXPECT_THAT(row.token_errors, ElementsAre(false, true, false));
  EXPECT_EQ(row.off_by_one_power, 4);
  EXPECT_FALSE(row.off_by_one_at_chunk_end);
  const RowMetrics other =
      row_metrics(sum, parse_condition("nosep"), read_answer("134245", false), {{2, 1, 3}, {3, 3}, {3}});
  EXPECT_TRUE(other.off_by_one_at_chunk_end);
}

TEST(RowMetrics, FormatIsJudgedApartFromTheNumber) {
  const Exercise sum = exercise_of({123456, 789}, Operation::kAdd);
  EXPECT_TRUE(metrics_of(sum, "124,245", "comma_r2l").format_match);
  EXPECT_TRUE(metrics_of(sum, "999,999", "comma_r2l").format_match);
  EXPECT_FALSE(metrics_of(sum, "124245", "comma_r2l").format_match);
  EXPECT_TRUE(metrics_of(sum, "124245", "comma_r2l>nosep").format_match);
  EXPECT_FALSE(metrics_of(sum, "1242,45", "comma_l2r").format_match);
  EXPECT_TRUE(metrics_of(sum, "1242,45", "comma_l2r").correct);
}

TEST(RowMetrics, ChunkwiseAlignmentMattersWhereTheNumbersOfChunksDiffer) {
  const std::vector<int> two = {3, 3}, one = {3}, ragged = {3, 1};
  EXPECT_EQ(chunkwise_sum("123456", two, "789", one, true), "912456");
  EXPECT_EQ(chunkwise_sum("123456", two, "789", one, false), "1231245");
  EXPECT_EQ(chunkwise_sum("789", one, "123456", two, false), "1231245");
  EXPECT_EQ(chunkwise_sum("123001", two, "456002", two, false), "579003");  // inner chunks keep their zeros
  EXPECT_EQ(chunkwise_sum("1234", ragged, "567890", two, true), "690894");
  EXPECT_EQ(chunkwise_sum("567890", two, "1234", ragged, true), "690894");
  EXPECT_EQ(chunkwise_sum("12", {}, "34", {}, true), "");
  const RowMetrics row = metrics_of(exercise_of({123456, 7896}, Operation::kAdd), "912462");
  EXPECT_TRUE(row.chunkwise_left && row.chunkwise_right);
  EXPECT_FALSE(row.left_aligned);
  EXPECT_EQ(row.kind, AnswerKind::kChunkwise);
}

TEST(RowMetrics, Carries) {
  struct Case {
    int64_t x, y;
    int count, chain;
  };
  const Case cases[] = {{123456, 789, 3, 3}, {999, 1, 3, 3}, {1, 999, 3, 3},       {5050, 5050, 2, 1},
                        {123, 456, 0, 0},    {95, 17, 2, 2}, {50095, 50017, 3, 2}, {505, 505, 2, 1}};
  for (const Case& c : cases) {
    EXPECT_EQ(carries_of(c.x, c.y).count, c.count) << c.x << " + " << c.y;
    EXPECT_EQ(carries_of(c.x, c.y).longest_chain, c.chain) << c.x << " + " << c.y;
  }
}

TEST(RowMetrics, OfTheProblem) {
  const RowMetrics match = metrics_of(exercise_of({123456, 789}, Operation::kAdd), "");
  EXPECT_EQ(match.carries, 3);
  EXPECT_EQ(match.longest_carry_chain, 3);
  EXPECT_EQ(match.length_match, true);
  EXPECT_EQ(metrics_of(exercise_of({999456, 789}, Operation::kAdd), "").length_match, false);
  // The subtraction is the addition read backwards: it borrows where that carries.
  const RowMetrics borrow = metrics_of(exercise_of({123456, 789}, Operation::kSubtract), "");
  EXPECT_EQ(borrow.carries, 3);
  EXPECT_EQ(borrow.length_match, true);
  const RowMetrics product = metrics_of(exercise_of({12, 34}, Operation::kMultiply), "");
  EXPECT_FALSE(product.carries);
  EXPECT_FALSE(product.length_match);
}

TEST(RowMetrics, OtherOperations) {
  EXPECT_EQ(metrics_of(exercise_of({12, 34}, Operation::kMultiply), "68").kind, AnswerKind::kDroppedDigit);  // 2 * 34
  EXPECT_EQ(metrics_of(exercise_of({12, 34}, Operation::kMultiply), "408").kind, AnswerKind::kCorrect);
  const Exercise difference = exercise_of({123456, 789}, Operation::kSubtract);  // 124245 - 789
  EXPECT_EQ(metrics_of(difference, "123456").kind, AnswerKind::kCorrect);
  EXPECT_EQ(metrics_of(difference, "124156").kind, AnswerKind::kDroppedDigit);  // 124245 - 89
  EXPECT_EQ(metrics_of(difference, "123556").kind, AnswerKind::kOffByOne);
}

TEST(RowMetrics, KindsHaveNames) {
  for (int i = 0; i < kAnswerKinds; ++i) {
    const auto kind = static_cast<AnswerKind>(i);
    EXPECT_EQ(parse_answer_kind(to_string(kind)), kind);
  }
  EXPECT_FALSE(parse_answer_kind("wrong"));
}

}  // namespace
}  // namespace bitloom::arithmetic
