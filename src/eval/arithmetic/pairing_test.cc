#include "eval/arithmetic/pairing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/arithmetic/json.h"

namespace bitloom::arithmetic {
namespace {

using testing::message_of;
Outcome outcome(int64_t problem, AnswerKind kind, const std::string& condition = "nosep") {
  return {exercise_of({problem + 10, 5}, Operation::kAdd), condition, 8, false, problem, kind};
}

TEST(Pairing, CountsPairsAndKinds) {
  using enum AnswerKind;
  const std::vector<AnswerKind> before = {kCorrect, kCorrect, kCorrect, kCorrect, kInvalid, kOneDigit};
  const std::vector<AnswerKind> after = {kCorrect, kOffByOneAtEnd, kOffByOneAtEnd, kInvalid, kCorrect, kOneDigit};
  std::vector<Outcome> reference, model;
  for (int64_t i = 0; i < 6; ++i) {
    reference.insert(reference.begin(), outcome(i, before[static_cast<size_t>(i)]));  // order does not matter
    model.push_back(outcome(i, after[static_cast<size_t>(i)]));
  }
  reference.push_back(outcome(0, kCorrect, "comma_r2l"));
  const std::vector<PairedCell> cells = pair_outcomes(reference, model, "ref.jsonl");
  ASSERT_EQ(cells.size(), 1U);
  EXPECT_EQ(cells[0].answers.both, 1);
  EXPECT_EQ(cells[0].answers.only_reference, 3);
  EXPECT_EQ(cells[0].answers.only_model, 1);
  EXPECT_EQ(cells[0].answers.neither, 1);
  EXPECT_DOUBLE_EQ(cells[0].answers.p_value, 0.625);  // 2 (1 + 4) / 16
  EXPECT_DOUBLE_EQ(cells[0].difference.mean, -2.0 / 6);
  EXPECT_EQ(cells[0].reference_kinds[static_cast<size_t>(kOffByOneAtEnd)], 0);
  EXPECT_EQ(cells[0].model_kinds[static_cast<size_t>(kOffByOneAtEnd)], 2);
  EXPECT_EQ(cells[0].model_kinds[static_cast<size_t>(kOneDigit)], 1);
}

TEST(Pairing, RefusesOtherProblems) {
  const std::vector<Outcome> one = {outcome(0, AnswerKind::kCorrect)};
  const std::vector<Outcome> two = {outcome(0, AnswerKind::kCorrect), outcome(1, AnswerKind::kCorrect)};
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { pair_outcomes(one, two, "ref.jsonl"); }),
            "ref.jsonl: lacks nosep, 8 shots, problem 1: 11 + 5");
  std::vector<Outcome> other = one;
  other[0].exercise = exercise_of({99, 5}, Operation::kAdd);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { pair_outcomes(other, one, "ref.jsonl"); }),
            "ref.jsonl: other problems: nosep, 8 shots, problem 0: 99 + 5, here nosep, 8 shots, problem 0: 10 + 5");
  other = one;
  other[0].chat = true;
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { pair_outcomes(other, one, "ref.jsonl"); }),
            "ref.jsonl: asked in chat messages, here in lines");
}

class Items : public ::testing::Test {
 protected:
  std::string message(const std::string& text) {
    std::ofstream(path_) << text;
    std::string what = message_of(ErrorKind::kRefused, [&] { read_outcomes(path_); });
    if (what.starts_with(path_)) what.erase(0, path_.size());
    return what;
  }
  testing::TempDir dir_;
  std::string path_ = dir_.file("items.jsonl");
};

TEST_F(Items, RoundTrip) {
  Row row;
  row.exercise = exercise_of({95, 7}, Operation::kSubtract);
  row.condition = "comma_r2l>nosep";
  row.shots = 4;
  row.problem = 3;
  row.chat = true;
  row.reply = "96 \xff";
  row.answer = read_answer("96", false);
  row.chunks = {1, 1};
  row.metrics = row_metrics(row.exercise, parse_condition(row.condition), row.answer, {row.chunks, {}, {}});
  row.tokens.resize(2);
  row.tokens[1].stats.true_rank = 2;
  row.tokens[1].text = "6";
  OutputFile file(path_);
  write_items(file, std::vector<Row>{row, row});
  const std::vector<Outcome> outcomes = read_outcomes(path_);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].exercise, row.exercise);
  EXPECT_EQ(outcomes[0].condition, row.condition);
  EXPECT_EQ(outcomes[0].shots, 4);
  EXPECT_EQ(outcomes[0].problem, 3);
  EXPECT_TRUE(outcomes[0].chat);
  EXPECT_EQ(outcomes[0].kind, AnswerKind::kOffByOne);
  const Json item = to_json(row);
  EXPECT_EQ(item["off_by_one_power"], 0);
  EXPECT_EQ(item["digit_errors"], (Json{0, 1}));
  EXPECT_EQ(item["tokens"][1]["true_rank"], 2);
  EXPECT_FALSE(item["tokens"][0].contains("true_rank"));
}

TEST_F(Items, RefusesBrokenLinesByPlace) {
  EXPECT_EQ(message("3\n"), ":1: no JSON object");
  EXPECT_EQ(message("\n{\"op\": \"+\"}\n"), ":2: no field kind");
  const auto with = [&](const std::string& fields) { return message(R"({"prompt": "lines", )" + fields + "}"); };
  EXPECT_EQ(with(R"("op": "/", "kind": "correct")"), ":1: op: \"/\"; there are +, - and *");
  EXPECT_EQ(with(R"("op": "+", "kind": "good")"), ":1: kind: no kind of answer \"good\"");
  EXPECT_EQ(with(R"("op": "+", "kind": "correct", "first": "1")"), ":1: first: \"1\" is no integer");
  EXPECT_EQ(message(R"({"op": "+", "kind": "correct", "prompt": "poem"})"),
            ":1: prompt: \"poem\"; there are chat and lines");
  EXPECT_NE(message("{\n"), "");
}

}  // namespace
}  // namespace bitloom::arithmetic
