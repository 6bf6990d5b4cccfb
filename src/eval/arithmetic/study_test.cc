#include "eval/arithmetic/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/text/text.h"
#include "eval/arithmetic/test_tokenizer.h"
#include "eval/arithmetic/tokens/pieces.h"
#include "eval/logits/fake_source.h"

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// What a model says to "A+B=".
using Calculator = std::function<std::string(const std::string& first, const std::string& second)>;

std::string digits_in(const std::string& text) {
  std::string digits;
  for (const char c : text)
    if (is_digit(c)) digits += c;
  return digits;
}

/// A model that spells the calculator's reply token by token and then ends the line: 4 at that token's logit, 1 at the
/// next id's, 0 elsewhere.
testing::FakeSource calculator_model(const Tokenizer& tokenizer, const Calculator& calculator) {
  return {tokenizer.vocab_size(), [&tokenizer, calculator](std::span<const int32_t> tokens, std::span<float> logits) {
            const std::string text = tokenizer.decode(tokens);
            const size_t line = text.rfind('\n') + 1, equals = text.find('=', line);
            std::fill(logits.begin(), logits.end(), 0.0F);
            if (equals == std::string::npos) return;
            const std::vector<std::string> operands = split(text.substr(line, equals - line), '+');
            const std::string reply = calculator(digits_in(operands[0]), digits_in(operands.at(1)));
            const char blank = reply.starts_with(' ') ? '\0' : ' ';  // behind "=", part of the question unless replied
            const size_t reply_at = std::min(text.find_first_not_of(blank, equals + 1), text.size());
            const std::vector<int32_t> whole = tokenizer.encode(text.substr(0, reply_at) + reply + "\n");
            const auto next = static_cast<size_t>(whole[tokens.size()]);
            logits[next] = 4;
            logits[(next + 1) % logits.size()] = 1;
          }};
}

std::string sum_of(const std::string& a, const std::string& b) { return std::to_string(std::stoll(a) + std::stoll(b)); }

StudyOptions options_for(const std::vector<std::string>& conditions, std::vector<int> shots = {2}) {
  StudyOptions options;
  for (const std::string& condition : conditions) options.conditions.push_back(parse_condition(condition));
  options.shots = std::move(shots);
  return options;
}

class StudyTest : public ::testing::Test {
 protected:
  Study run(const Tokenizer& tokenizer, const Calculator& calculator, const StudyOptions& options,
            const ChatRenderer& chat = {}) {
    testing::FakeSource model = calculator_model(tokenizer, calculator);
    const Prompter prompter(tokenizer, chat);
    return run_study(model, prompter, set_, options, context_);
  }

  ProblemSet set_ = generate_problems({.full = true, .count = 26, .max_shots = 2});
  ThreadPool threads_{1};
  Progress progress_;
  Context context_{threads_, progress_};
};

TEST_F(StudyTest, APerfectModelIsRightInEveryFormat) {
  for (const Tokenizer& tokenizer :
       {testing::single_digits(), testing::three_from_left(), testing::three_from_right()}) {
    const Study study = run(tokenizer, sum_of, options_for({"nosep", "comma_r2l>nosep", "nosep+1"}, {1, 2}));
    EXPECT_EQ(study.rows.size(), 26U * 3 * 2);
    EXPECT_TRUE(study.refused.empty());
    for (const Row& row : study.rows) {
      EXPECT_TRUE(row.metrics.correct) << row.condition << ": " << row.reply;
      EXPECT_EQ(row.stop, "stop string");
      ASSERT_FALSE(row.tokens.empty());
      for (const AnswerToken& token : row.tokens) EXPECT_EQ(token.stats.true_rank, 1);
    }
  }
}

TEST_F(StudyTest, RowsCarryTheTokensOfTheAnswer) {
  const Tokenizer tokenizer = testing::three_from_left();
  set_.problems.assign(1, {0, {7086157, 6448923}, {{1234567, 7654321}}});  // 13535080
  const Study study = run(
      tokenizer, [](const auto&, const auto&) { return "135,450,80"; }, options_for({"comma_l2r"}, {1}));
  const Row& row = study.rows.at(0);
  EXPECT_EQ(row.metrics.kind, AnswerKind::kOffByOne);  // 100000 less: first digit of 350
  EXPECT_THAT(row.chunks, ElementsAre(3, 3, 2));
  EXPECT_THAT(row.metrics.token_errors, ElementsAre(false, true, false));
  ASSERT_EQ(row.tokens.size(), 3U);
  EXPECT_EQ(row.tokens[1].text, "450");
  EXPECT_EQ(row.tokens[0].stats.true_rank, 1);
  EXPECT_GT(*row.tokens[1].stats.true_rank, 1);
  EXPECT_EQ(row.tokens[2].stats.true_rank, 1);
  // Of x50 the ids of 450 and 350 are 143 * 450 = 350 and 50 (mod 1000).
  EXPECT_EQ(row.tokens[1].ranks.more_frequent, false);
  EXPECT_NEAR(row.tokens[0].stats.gap, 3, 1e-12);
  EXPECT_EQ(row.prompt_tokens, std::ssize(tokenizer.encode("123,456,7+765,432,1=888,888,8\n708,615,7+644,892,3=")));
}

TEST_F(StudyTest, ARepeatedQuestionIsNotTheAnswer) {
  const auto repeats = [](const std::string& a, const std::string& b) { return a + "+" + b + "=" + sum_of(a, b); };
  const Study study = run(testing::single_digits(), repeats, options_for({"comma_r2l>nosep>nosep"}));
  for (const Row& row : study.rows) {
    EXPECT_TRUE(row.metrics.correct) << row.reply;
    EXPECT_EQ(row.tokens.size(), row.answer.digits.size());
  }
}

// Single digits behind a blank have the lengths of the right reply's tokens, shifted by one: nothing to compare with.
TEST_F(StudyTest, AReplyThatIsCutOtherwiseHasNoTrueTokens) {
  const auto blank = [](const std::string& a, const std::string& b) { return " " + sum_of(a, b); };
  const Study study = run(testing::single_digits(), blank, options_for({"nosep"}));
  for (const Row& row : study.rows) {
    EXPECT_TRUE(row.metrics.correct) << row.reply;
    for (const AnswerToken& token : row.tokens) {
      EXPECT_FALSE(token.stats.true_rank);
      EXPECT_FALSE(token.ranks.first_digit);
    }
  }
}

TEST_F(StudyTest, RepliesThatNeverEndAreCut) {
  const Study study = run(
      testing::single_digits(), [](const auto&, const auto&) { return std::string(99, '1'); }, options_for({"nosep"}));
  for (const Row& row : study.rows) {
    EXPECT_EQ(row.stop, "length");
    EXPECT_EQ(std::ssize(row.reply), digits_of(row.exercise.answer) + kExtraReplyTokens);
    EXPECT_EQ(row.metrics.kind, AnswerKind::kWrongLength);
  }
}

TEST_F(StudyTest, RefusesWhatTheTokenizerCannotCarry) {
  const Study study = run(testing::merging_digits(), sum_of, options_for({"nosep", "comma_r2l", "space_l2r"}));
  EXPECT_EQ(study.rows.size(), 26U);
  ASSERT_EQ(study.refused.size(), 2U);
  EXPECT_EQ(study.refused[0].refusal.condition, "comma_r2l");
  try {
    run(testing::merging_digits(), sum_of, options_for({"space_l2r"}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kRefused);
    EXPECT_THAT(e.what(), HasSubstr("this tokenizer carries none of the formats: space_l2r (+): digits merge"));
  }
}

TEST_F(StudyTest, RefusesTooManyShotsAndLongFactors) {
  const auto message = [&](const StudyOptions& options) -> std::string {
    try {
      run(testing::single_digits(), sum_of, options);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(message(options_for({"nosep"}, {1, 8})), HasSubstr("--shots 8: "));
  set_ = generate_problems({.low = 10, .high = 10, .count = 1, .max_shots = 2});
  StudyOptions products = options_for({"nosep"});
  products.operations = {Operation::kMultiply};
  EXPECT_THAT(message(products), HasSubstr("--ops *: factors have at most 9 digits, "));
}

TEST_F(StudyTest, ChatPromptsAreThePapersMessages) {
  std::vector<ChatMessage> seen;
  const ChatRenderer chat = [&](const std::vector<ChatMessage>& messages) {
    seen = messages;
    std::string text;
    for (const ChatMessage& message : messages)
      text += message.role == "assistant" ? message.content + "\n" : message.role == "user" ? message.content : "x\n";
    return text;
  };
  set_.problems.assign(1, {0, {12, 34}, {{5, 6}}});
  const Study study = run(testing::single_digits(), sum_of, options_for({"nosep"}, {1}), chat);
  EXPECT_TRUE(study.rows.at(0).metrics.correct);
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen[0].role + ": " + seen[0].content, "system: You are a helpful assistant.");
  EXPECT_EQ(seen[1].role + ": " + seen[1].content, "user: 5+6=");
  EXPECT_EQ(seen[2].role + ": " + seen[2].content, "assistant: 11");
  EXPECT_EQ(seen[3].role + ": " + seen[3].content, "user: 12+34=");
}

}  // namespace
}  // namespace bitloom::arithmetic
