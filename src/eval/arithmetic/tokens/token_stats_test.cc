#include "eval/arithmetic/tokens/token_stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "eval/arithmetic/test_tokenizer.h"
#include "eval/logits/fake_source.h"

namespace bitloom::arithmetic {
namespace {

/// Logits of probabilities, moved by a constant as logits may be.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> out;
  out.reserve(probabilities.size());
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p) + 3));
  return out;
}

constexpr double kTolerance = 1e-6;  // logits near 3 in fp32 carry 2.4e-7 each, weighted by probabilities that sum to 1

TEST(TokenStats, HandWorkedDistribution) {
  // Halves: -log2 p is 1, 2, 3, 4, 5, 6, 6. H = (1/2 + 2/4 + 3/8 + 4/16 + 5/32 + 2 * 6/64) ln 2 = 1.96875 ln 2. Of the
  // top five, the rest 1/32 is counted at ln p_5: 1.78125 + 5/32 = 1.9375.
  const std::vector<float> logits = logits_of({0.25, 0.5, 0.125, 1.0 / 64, 0.0625, 0.03125, 1.0 / 64});
  const StepStats stats = step_stats(logits, 1, 4);
  EXPECT_NEAR(stats.logprob, -std::numbers::ln2, kTolerance);
  EXPECT_NEAR(stats.gap, std::numbers::ln2, kTolerance);
  EXPECT_NEAR(stats.entropy, 1.96875 * std::numbers::ln2, kTolerance);
  EXPECT_NEAR(stats.entropy_bound, 1.9375 * std::numbers::ln2, kTolerance);
  EXPECT_EQ(stats.true_rank, 4);
  EXPECT_NEAR(*stats.true_logprob, -4 * std::numbers::ln2, kTolerance);
  EXPECT_FALSE(step_stats(logits, 1, std::nullopt).true_rank);
  EXPECT_EQ(step_stats(logits, 1, 1).true_rank, 1);
}

TEST(TokenStats, SmallVocabularyAndCertainty) {
  const StepStats two = step_stats(std::vector<float>{0, 0}, 0, 1);
  EXPECT_NEAR(two.entropy, std::numbers::ln2, 1e-12);
  EXPECT_NEAR(two.entropy_bound, std::numbers::ln2, 1e-12);
  EXPECT_EQ(two.gap, 0);
  EXPECT_EQ(two.true_rank, 2);  // equal logits rank by id, as greedy takes them
  const StepStats sure = step_stats(std::vector<float>{-900, 900, -900}, 1, 0);
  EXPECT_EQ(sure.logprob, 0);
  EXPECT_EQ(sure.entropy, 0);
  EXPECT_NEAR(*sure.true_logprob, -1800, 1e-9);
}

TEST(TokenStats, AgreesWithTheSlowDefinition) {
  testing::FakeSource source = testing::random_source(5000, 4);
  const std::vector<int32_t> tokens = {1, 2, 3};
  source.run(tokens);
  std::vector<float> row(5000);
  for (int64_t at = 0; at < 3; ++at) {
    source.logits(at, 1, row.data());
    const auto log_p = testing::slow_log_softmax(row);
    long double entropy = 0;
    for (const long double l : log_p) entropy -= std::exp(l) * l;
    const auto chosen = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    const StepStats stats = step_stats(row, chosen, 77);
    EXPECT_NEAR(stats.entropy, static_cast<double>(entropy), 1e-11);
    EXPECT_NEAR(stats.logprob, static_cast<double>(log_p[static_cast<size_t>(chosen)]), 1e-11);
    EXPECT_LE(stats.entropy_bound, stats.entropy);
  }
}

// In this tokenizer the token of three digits v has the (143 v mod 1000)-th id of its kind (7 * 143 = 1 mod 1000).
// 420, 421, 422: 60, 203, 346. d21: 3 + 300 d mod 1000, so from the most frequent on d = 0 7 4 1 8 5 2 9 6 3.
TEST(FrequencyRanks, AmongNeighboursAndFirstDigits) {
  const Tokenizer tokenizer = testing::three_from_left();
  const FrequencyRanks below = frequency_ranks(tokenizer, "420", "421");
  EXPECT_EQ(below.off_by_one, 1);
  EXPECT_FALSE(below.first_digit);
  EXPECT_EQ(below.more_frequent, true);
  const FrequencyRanks other = frequency_ranks(tokenizer, "121", "421");
  EXPECT_FALSE(other.off_by_one);
  EXPECT_EQ(other.first_digit, 4);
  EXPECT_EQ(other.more_frequent, false);
  const FrequencyRanks right = frequency_ranks(tokenizer, "421", "421");
  EXPECT_EQ(right.off_by_one, 2);
  EXPECT_EQ(right.first_digit, 3);
  EXPECT_FALSE(right.more_frequent);
  EXPECT_EQ(frequency_ranks(tokenizer, "000", "999").off_by_one, 1);  // 999 + 1 wraps
  EXPECT_EQ(frequency_ranks(tokenizer, "98", "99").off_by_one, 2);    // 00, 98, 99
  EXPECT_FALSE(frequency_ranks(tokenizer, "777", "421").first_digit);
}

TEST(FrequencyRanks, AbsentWhereCandidatesAreNoTokens) {
  const Tokenizer tokenizer = testing::single_digits();
  EXPECT_EQ(frequency_ranks(tokenizer, "3", "4").off_by_one, 1);
  EXPECT_EQ(frequency_ranks(tokenizer, "3", "4").first_digit, 4);
  EXPECT_FALSE(frequency_ranks(tokenizer, "13", "14").off_by_one);
  EXPECT_FALSE(frequency_ranks(tokenizer, "13", "14").more_frequent);
}

}  // namespace
}  // namespace bitloom::arithmetic
