#include "runtime/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/test_data.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// No filter at all, temperature 1.
SamplerOptions plain() {
  return {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .repeat_penalty = 1, .repeat_last = 64, .seed = 1};
}

/// Logits whose softmax is `p`, with a constant that must not matter.
std::vector<float> logits_of(const std::vector<double>& p) {
  std::vector<float> out;
  out.reserve(p.size());
  for (const double x : p) out.push_back(static_cast<float>(std::log(x) + 2.5));
  return out;
}

std::vector<std::pair<int32_t, double>> left_by(const SamplerOptions& options, std::vector<float> logits,
                                                const std::vector<int32_t>& context = {}) {
  return Sampler(options).distribution(logits, context);
}

std::vector<int32_t> ids_left_by(const SamplerOptions& options, const std::vector<float>& logits) {
  std::vector<int32_t> out;
  for (const auto& candidate : left_by(options, logits)) out.push_back(candidate.first);
  return out;
}

std::string refusal(const SamplerOptions& options) {
  return testing::message_of(ErrorKind::kUsage, [&] { Sampler sampler(options); });
}

const std::vector<double> kFive{0.1, 0.4, 0.05, 0.3, 0.15};  // by likelihood: 1 3 4 0 2

TEST(Sampler, WithoutFiltersIsTheSoftmax) {
  const auto left = left_by(plain(), logits_of(kFive));
  ASSERT_EQ(left.size(), 5u);
  // fp32 logits below 4 round to 2^-23: that much of each probability.
  for (const auto& candidate : left)
    EXPECT_NEAR(candidate.second, kFive[static_cast<size_t>(candidate.first)], 2 * 0x1p-23);
}

TEST(Sampler, TopKKeepsTheMostLikelyAndTheLowerIdAmongEquals) {
  SamplerOptions options = plain();
  options.top_k = 2;
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3));
  EXPECT_NEAR(left_by(options, logits_of(kFive))[0].second, 4.0 / 7, 1e-6);
  EXPECT_THAT(ids_left_by(options, {1, 2, 2, 2, 0}), ElementsAre(1, 2));
  options.top_k = 99;
  EXPECT_EQ(ids_left_by(options, logits_of(kFive)).size(), 5u);
}

TEST(Sampler, TopPKeepsTheOneThatReachesIt) {
  SamplerOptions options = plain();
  options.top_p = 0.65f;  // 0.4 is below, 0.4 + 0.3 reaches it
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3));
  options.top_p = 0.75f;
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3, 4));
  options.top_p = 1e-6f;
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1));
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  SamplerOptions options = plain();
  options.min_p = 0.36f;  // 0.144 of 0.4
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3, 4));
  options.min_p = 0.5f;
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3));
  options.min_p = 1.0f;
  EXPECT_THAT(ids_left_by(options, {3, 3, 1}), ElementsAre(0, 1));
}

// Top-k 3 leaves 0.4 0.3 0.15, of which top-p 0.8 needs 0.68: 0.4 + 0.3 reach it. Were top-p first, 0.4 + 0.3 = 0.7
// would not reach 0.8 and 4 would stay.
TEST(Sampler, TopPSeesWhatTopKLeft) {
  SamplerOptions options = plain();
  options.top_k = 3;
  options.top_p = 0.8f;
  EXPECT_THAT(ids_left_by(options, logits_of(kFive)), ElementsAre(1, 3));
}

// At temperature 2 before the filters, min-p 0.5 would keep sqrt(p / 0.4) >= 0.5: 0.1 and above.
TEST(Sampler, TemperatureComesAfterTheFilters) {
  SamplerOptions options = plain();
  options.min_p = 0.5f;
  options.temperature = 2;
  const auto left = left_by(options, logits_of(kFive));
  ASSERT_EQ(left.size(), 2u);
  EXPECT_NEAR(left[1].second / left[0].second, std::sqrt(0.75), 1e-6);
}

TEST(Sampler, GreedyTakesTheLowestIdAmongTheMostLikely) {
  SamplerOptions options = plain();
  options.temperature = 0;
  std::vector<float> logits{1, 7, 3, 7};
  EXPECT_EQ(Sampler(options).sample(logits, {}), 1);
  options.repeat_penalty = 2;
  const std::vector<int32_t> context{1};
  EXPECT_EQ(Sampler(options).sample(logits, context), 3);
}

TEST(Sampler, APenaltyBeyondFloatsIsTheLargestFloat) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  SamplerOptions options = plain();
  const std::vector<int32_t> context{0, 1};
  for (const float penalty : {1e38f, 1e-38f}) {
    options.repeat_penalty = penalty;
    std::vector<float> logits{100, -100, 1};
    const auto left = Sampler(options).distribution(logits, context);
    EXPECT_THAT(logits,
                penalty > 1 ? ElementsAre(100 / penalty, -kLargest, 1) : ElementsAre(kLargest, -100 * penalty, 1));
    EXPECT_EQ(left[0].first, penalty > 1 ? 2 : 0);
  }
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesOthersOncePerToken) {
  SamplerOptions options = plain();
  options.repeat_penalty = 2;
  options.repeat_last = 4;
  std::vector<float> logits{4, -1, 0, 3, 1};
  const std::vector<int32_t> context{3, 0, 0, 1, 2, 99, -5};  // 3 and the first 0 lie outside the last four
  Sampler(options).distribution(logits, std::span(context).first(5));
  EXPECT_THAT(logits, ElementsAre(2, -2, 0, 3, 1));
  Sampler(options).distribution(logits, context);  // the last four: 1, 2, and two ids that no logit has
  EXPECT_THAT(logits, ElementsAre(2, -4, 0, 3, 1));
  options.repeat_last = 0;
  Sampler(options).distribution(logits, context);
  EXPECT_THAT(logits, ElementsAre(2, -4, 0, 3, 1));
}

// n = 40000 draws over 8 tokens. With X ~ chi-square of k = 7 degrees, P(X >= k + 2 sqrt(k x) + 2 x) <= e^-x (Laurent
// and Massart, 2000); x = 14 allows 53.5, a chance of one in a million for each of the seeds.
TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> logits{0.3f, -1, 2, 0.5f, 1.5f, -0.2f, 0.9f, 1};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (const float temperature : {0.7f, 1.0f, 3.0f}) {
      SamplerOptions options = plain();
      options.seed = seed;
      options.temperature = temperature;
      Sampler sampler(options);
      std::vector<double> expected(8), drawn(8);
      for (const auto& candidate : left_by(options, logits))
        expected[static_cast<size_t>(candidate.first)] = 40000 * candidate.second;
      for (int i = 0; i < 40000; ++i) {
        std::vector<float> scratch = logits;
        ++drawn[static_cast<size_t>(sampler.sample(scratch, {}))];
      }
      double chi2 = 0;
      for (size_t v = 0; v < 8; ++v) chi2 += (drawn[v] - expected[v]) * (drawn[v] - expected[v]) / expected[v];
      EXPECT_LT(chi2, 7 + 2 * std::sqrt(7 * 14.0) + 28) << "seed " << seed << ", temperature " << temperature;
    }
  }
}

TEST(Sampler, SeedDecides) {
  const auto draw = [](uint64_t seed) {
    SamplerOptions options = plain();
    options.seed = seed;
    Sampler sampler(options);
    std::vector<int32_t> out;
    for (int i = 0; i < 100; ++i) {
      std::vector<float> logits(50, 1.0f);
      out.push_back(sampler.sample(logits, {}));
    }
    return out;
  };
  EXPECT_EQ(draw(5), draw(5));
  EXPECT_NE(draw(5), draw(6));
}

TEST(Sampler, NeverDrawsWhatFiltersRemoved) {
  SamplerOptions options = plain();
  options.top_k = 2;
  options.temperature = 100;
  Sampler sampler(options);
  for (int i = 0; i < 2000; ++i) {
    std::vector<float> logits = logits_of(kFive);
    EXPECT_THAT(sampler.sample(logits, {}), ::testing::AnyOf(1, 3));
  }
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto with = [](auto change) {
    SamplerOptions options = plain();
    change(options);
    return refusal(options);
  };
  EXPECT_NO_THROW(Sampler{SamplerOptions()});
  EXPECT_EQ(with([](SamplerOptions& o) { o.temperature = -1; }), "temperature -1: must be 0 (greedy) or more");
  EXPECT_THAT(with([nan](SamplerOptions& o) { o.temperature = nan; }), HasSubstr("temperature nan"));
  EXPECT_EQ(with([](SamplerOptions& o) { o.top_k = -2; }), "top-k -2: must be 0 (off) or more");
  EXPECT_EQ(with([](SamplerOptions& o) { o.top_p = 0; }), "top-p 0: must be above 0 and at most 1 (off)");
  EXPECT_THAT(with([](SamplerOptions& o) { o.top_p = 1.5f; }), HasSubstr("top-p 1.5"));
  EXPECT_THAT(with([nan](SamplerOptions& o) { o.top_p = nan; }), HasSubstr("top-p nan"));
  EXPECT_EQ(with([](SamplerOptions& o) { o.min_p = 2; }), "min-p 2: must be from 0 (off) to 1");
  EXPECT_EQ(with([](SamplerOptions& o) { o.repeat_penalty = 0; }), "repeat-penalty 0: must be above 0 (1 is off)");
  EXPECT_EQ(with([](SamplerOptions& o) { o.repeat_last = -1; }), "repeat-last -1: must be 0 (none) or more");
}

TEST(Sampler, LogitsThatAreNotFiniteAreNamed) {
  for (const float temperature : {0.0f, 1.0f}) {
    SamplerOptions options = plain();
    options.temperature = temperature;
    Sampler sampler(options);
    std::vector<float> logits{1, 2, std::numeric_limits<float>::quiet_NaN(), 3};
    try {
      sampler.sample(logits, {});
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFailed);
      EXPECT_THAT(error.what(), HasSubstr("logit of token 2 is nan"));
    }
    EXPECT_THROW(sampler.sample({}, {}), Error);
  }
}

}  // namespace
}  // namespace bitloom
