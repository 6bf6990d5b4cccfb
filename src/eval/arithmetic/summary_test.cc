#include "eval/arithmetic/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;

/// A row of the sum of two numbers, its answer cut in threes from the left.
Row row_of(int64_t first, int64_t second, const std::string& reply, const std::string& condition = "nosep",
           int shots = 8) {
  Row row;
  row.exercise = exercise_of({first, second}, Operation::kAdd);
  row.condition = condition;
  row.shots = shots;
  row.reply = reply;
  row.answer = read_answer(reply, false);
  for (size_t left = row.answer.digits.size(); left > 0; left -= std::min<size_t>(left, 3))
    row.chunks.push_back(static_cast<int>(std::min<size_t>(left, 3)));
  row.metrics = row_metrics(row.exercise, parse_condition(condition), row.answer, {row.chunks, {}, {}});
  row.tokens.resize(row.chunks.size());
  return row;
}

TEST(Summary, TalliesByGroup) {
  const std::vector<Row> rows = {
      row_of(1234, 5678, "6912"),   // right
      row_of(1234, 5678, "6922"),   // off by ten: the last digit of 691|2's first token
      row_of(1234, 5678, "6,912"),  // right, other format
      row_of(1234, 5678, "?"),      // invalid
      row_of(9234, 5678, "14912"),  // a longer sum, right
      row_of(9234, 5678, "15912"),  // |error| 1000, inside the first token 159|12
  };
  const std::vector<CellSummary> cells = summarise(rows);
  ASSERT_EQ(cells.size(), 1U);
  const CellSummary& cell = cells[0];
  EXPECT_EQ(cell.all.tally.rows, 6);
  EXPECT_EQ(cell.all.tally.valid, 5);
  EXPECT_EQ(cell.all.tally.correct, 3);
  EXPECT_EQ(cell.all.tally.format_match, 4);
  EXPECT_DOUBLE_EQ(cell.all.tally.accuracy(), 0.6);
  EXPECT_EQ(cell.match.tally.rows, 4);
  EXPECT_EQ(cell.match.off_by_one, 1);
  EXPECT_EQ(cell.match.off_by_one_at_chunk_end, 1);
  EXPECT_EQ(cell.mismatch.tally.correct, 1);
  EXPECT_EQ(cell.mismatch.off_by_one, 1);
  EXPECT_EQ(cell.mismatch.off_by_one_at_chunk_end, 0);
  EXPECT_EQ(cell.by_signature.at({4, 4, 4}).rows, 4);
  EXPECT_EQ(cell.by_signature.at({4, 4, 5}).correct, 1);
  EXPECT_THAT(cell.kinds, ElementsAre(3, 1, 1, 1, 0, 0, 0, 0, 0, 0));
}

TEST(Summary, ErrorsByDigitFromTheLeft) {
  const std::vector<Row> rows = {row_of(1234, 5678, "6912"), row_of(1234, 5678, "6962"), row_of(1234, 5678, "5982"),
                                 row_of(1234, 5678, "69120")};
  const GroupSummary all = summarise(rows)[0].all;
  ASSERT_EQ(all.digits.size(), 4U);
  EXPECT_EQ(all.digits[0].rows, 3);
  EXPECT_EQ(all.digits[0].wrong, 1);
  EXPECT_EQ(all.digits[1].wrong, 0);
  EXPECT_EQ(all.digits[2].wrong, 2);
  EXPECT_THAT(all.digits[2].sizes, ElementsAre(0, 0, 0, 0, 1, 0, 1, 0, 0));  // 6 for 1, 8 for 1
}

TEST(Summary, CellsKeepTheirOrderAndApart) {
  const std::vector<Row> rows = {row_of(1, 2, "3", "nosep", 8), row_of(1, 2, "3", "comma_r2l", 8),
                                 row_of(1, 2, "4", "nosep", 1), row_of(1, 3, "4", "nosep", 8)};
  const std::vector<CellSummary> cells = summarise(rows);
  ASSERT_EQ(cells.size(), 3U);
  EXPECT_EQ(cells[0].all.tally.rows, 2);
  EXPECT_EQ(cells[1].condition, "comma_r2l");
  EXPECT_EQ(cells[2].shots, 1);
  EXPECT_EQ(cells[2].all.tally.correct, 0);
}

TEST(Summary, MeansAndRanksByToken) {
  Row right = row_of(1234, 5678, "6912"), wrong = row_of(1234, 5678, "8912");
  right.tokens[0].stats.entropy = 0.5;
  wrong.tokens[0].stats.entropy = 1.5;
  wrong.tokens[0].stats.gap = 1;
  right.tokens[0].ranks = {2, 3, std::nullopt};
  wrong.tokens[0].ranks = {std::nullopt, 10, true};
  const GroupSummary all = summarise(std::vector<Row>{right, wrong})[0].all;
  ASSERT_EQ(all.tokens.size(), 2U);
  EXPECT_EQ(all.tokens[0].rows, 2);
  EXPECT_DOUBLE_EQ(all.tokens[0].entropy, 1);
  EXPECT_DOUBLE_EQ(all.tokens[0].gap, 0.5);
  EXPECT_EQ(all.tokens[0].wrong, 1);
  EXPECT_EQ(all.tokens[0].more_frequent, 1);
  EXPECT_THAT(all.tokens[0].first_digit_ranks, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(all.tokens[0].off_by_one_ranks, ElementsAre(0, 0, 0));
  EXPECT_EQ(all.tokens[1].wrong, 0);
}

// SciPy 1.15.3: binomtest(k, n).proportion_ci(method="wilson").
TEST(Summary, WilsonIntervals) {
  struct Case {
    int64_t k, n;
    double low, high;
  };
  const Case cases[] = {{844, 900, 0.9200596490007327, 0.9517746669733975},
                        {33, 400, 0.05934587622971528, 0.1135968895394223},
                        {0, 90, 0, 0.04093562556432678},
                        {90, 90, 0.9590643744356733, 1},
                        {1, 2, 0.09453120573423074, 0.9054687942657693}};
  for (const Case& c : cases) {
    EXPECT_NEAR(wilson95(c.k, c.n).low, c.low, 1e-12) << c.k << "/" << c.n;
    EXPECT_NEAR(wilson95(c.k, c.n).high, c.high, 1e-12) << c.k << "/" << c.n;
  }
  EXPECT_EQ(wilson95(0, 0).low, 0);
  EXPECT_EQ(wilson95(0, 0).high, 1);
}

}  // namespace
}  // namespace bitloom::arithmetic
