#include "eval/arithmetic/problem/problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "base/error.h"

namespace bitloom::arithmetic {
namespace {

using Lengths = std::tuple<int, int, int>;
Lengths lengths_of(const Addends& a) {
  return {digits_of(a.first), digits_of(a.second), digits_of(a.first + a.second)};
}

TEST(Problems, FullSignaturesAreThePapersThirteen) {
  const std::vector<Signature> expected = {{7, 7, 7}, {7, 7, 8}, {8, 7, 8}, {7, 8, 8}, {8, 7, 9}, {7, 8, 9}, {8, 8, 8},
                                           {8, 8, 9}, {9, 7, 9}, {7, 9, 9}, {9, 8, 9}, {8, 9, 9}, {9, 9, 9}};
  EXPECT_EQ(full_signatures(7, 9), expected);
}

TEST(Problems, AddendSignaturesAreOrderedPairs) {
  const std::vector<Signature> expected = {{7, 7}, {7, 8}, {7, 9}, {8, 7}, {8, 8}, {8, 9}, {9, 7}, {9, 8}, {9, 9}};
  EXPECT_EQ(addend_signatures(7, 9), expected);
}

TEST(Problems, FullSetHasHundredOfEachSignature) {
  const ProblemSet set = generate_problems({.full = true});
  EXPECT_EQ(set.description, "G2, 7 to 9 digits, seed 0, 1300 problems");
  std::map<Lengths, int> counts;
  for (const Problem& problem : set.problems) ++counts[lengths_of(problem.query)];
  EXPECT_EQ(counts.size(), 13U);
  for (const auto& [lengths, count] : counts) EXPECT_EQ(count, 100) << ::testing::PrintToString(lengths);
}

TEST(Problems, AddendSetHasTenOfEachPair) {
  const ProblemSet set = generate_problems({});
  ASSERT_EQ(set.problems.size(), 90U);
  std::map<std::pair<int, int>, int> counts;
  for (const Problem& problem : set.problems)
    ++counts[{digits_of(problem.query.first), digits_of(problem.query.second)}];
  EXPECT_EQ(counts.size(), 9U);
  for (const auto& [lengths, count] : counts) EXPECT_EQ(count, 10) << ::testing::PrintToString(lengths);
}

TEST(Problems, ShotsKeepTheirProblemsSignature) {
  for (const bool full : {false, true}) {
    const ProblemSet set = generate_problems({.full = full, .count = 390, .seed = 5});
    for (const Problem& problem : set.problems) {
      ASSERT_EQ(problem.shots.size(), 8U);
      for (const Addends& shot : problem.shots) {
        EXPECT_EQ(digits_of(shot.first), digits_of(problem.query.first));
        EXPECT_EQ(digits_of(shot.second), digits_of(problem.query.second));
        if (full) {
          EXPECT_EQ(lengths_of(shot), lengths_of(problem.query));
        }
      }
    }
  }
}

TEST(Problems, EverySignatureOfEveryRangeHolds) {
  for (int low = 1; low <= 5; ++low)
    for (int high = low; high <= low + 4; ++high)
      for (const Signature& s : full_signatures(low, high))
        for (uint64_t i = 0; i < 200; ++i) {
          Rng rng(3, i);
          ASSERT_EQ(lengths_of(draw_addends(s, rng)), Lengths(s.first, s.second, s.answer));
        }
}

// One digit each, answer one digit: the shorter addend S in 1..8 uniformly, the answer uniform in S+1..9. All 36 pairs
// come up, and P(S = 1) = 1/8, where pairs drawn uniformly would have 8/36.
TEST(Problems, DrawsAreUniformInTheirRanges) {
  constexpr int kDraws = 8000;
  std::map<std::pair<int64_t, int64_t>, int> counts;
  int ones = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    Rng rng(1, i);
    const Addends a = draw_addends({1, 1, 1}, rng);
    ++counts[{a.first, a.second}];
    ones += a.second == 1 ? 1 : 0;
  }
  EXPECT_EQ(counts.size(), 36U);
  // Mean 1000, deviation sqrt(8000 / 8 * 7 / 8) = 29.6: five of them.
  EXPECT_NEAR(ones, kDraws / 8.0, 148);
  // S = 8 leaves the answer 9 alone: (1, 8) holds all of S = 8.
  EXPECT_NEAR((counts[{1, 8}]), kDraws / 8.0, 148);
}

TEST(Problems, ExtremesOfARangeComeUp) {
  std::set<int64_t> seen;
  for (uint64_t i = 0; i < 4000; ++i) {
    Rng rng(2, i);
    seen.insert(draw_addends({2, 1, 0}, rng).first);
  }
  EXPECT_EQ(seen.size(), 90U);
  EXPECT_EQ(*seen.begin(), 10);
  EXPECT_EQ(*seen.rbegin(), 99);
}

TEST(Problems, AProblemDependsOnSeedAndIndexAlone) {
  const ProblemSet few = generate_problems({.full = true, .count = 20, .max_shots = 2, .seed = 9});
  const ProblemSet many = generate_problems({.full = true, .count = 50, .max_shots = 8, .seed = 9});
  const ProblemSet other = generate_problems({.full = true, .count = 20, .max_shots = 2, .seed = 10});
  int equal = 0;
  for (size_t i = 0; i < few.problems.size(); ++i) {
    EXPECT_EQ(few.problems[i].query, many.problems[i].query);
    EXPECT_EQ(few.problems[i].shots[1], many.problems[i].shots[1]);
    equal += few.problems[i].query == other.problems[i].query ? 1 : 0;
  }
  EXPECT_EQ(equal, 0);
}

TEST(Problems, ShotsOfShortNumbersNeverGiveTheAnswerAway) {
  for (const Problem& problem : generate_problems({.low = 1, .high = 1, .count = 500}).problems)
    for (const Addends& shot : problem.shots) {
      EXPECT_NE(shot, problem.query);
      EXPECT_NE(shot, (Addends{problem.query.second, problem.query.first}));
    }
}

TEST(Problems, Operations) {
  EXPECT_EQ(exercise_of({12, 90}, Operation::kAdd), (Exercise{Operation::kAdd, 12, 90, 102}));
  EXPECT_EQ(exercise_of({12, 90}, Operation::kSubtract), (Exercise{Operation::kSubtract, 102, 90, 12}));
  EXPECT_EQ(exercise_of({12, 90}, Operation::kMultiply), (Exercise{Operation::kMultiply, 12, 90, 1080}));
  EXPECT_EQ(parse_operation("*"), Operation::kMultiply);
}

TEST(Problems, LengthsAreOneNumberOrTwo) {
  EXPECT_EQ(parse_lengths("7-9", "--digits"), std::pair(7, 9));
  EXPECT_EQ(parse_lengths("2", "--digits"), std::pair(2, 2));
  for (const char* text : {"", "a-b", "1-", "1-2-3"}) EXPECT_THROW(parse_lengths(text, "--digits"), Error) << text;
}

TEST(Problems, RefusesBadRangesAndOperations) {
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message([] { generate_problems({.low = 0, .high = 3}); }),
            "--digits 0-3: lengths lie between 1 and 17, the smaller first");
  EXPECT_EQ(message([] { generate_problems({.low = 4, .high = 3}); }),
            "--digits 4-3: lengths lie between 1 and 17, the smaller first");
  EXPECT_EQ(message([] { generate_problems({.low = 4, .high = 18}); }),
            "--digits 4-18: lengths lie between 1 and 17, the smaller first");
  EXPECT_EQ(message([] { parse_operation("/"); }), "--ops: no operation \"/\"; there are +, - and *");
}

}  // namespace
}  // namespace bitloom::arithmetic
