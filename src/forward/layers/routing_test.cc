#include "forward/layers/routing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bitloom {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

Experts experts_of(size_t count, int64_t top_k, bool normalized) {
  Experts experts;
  experts.mlps.resize(count);
  experts.top_k = top_k;
  experts.normalized = normalized;
  return experts;
}

// Logits are logarithms: probabilities (0.1, 0.4, 0.3, 0.2) and (0.6, 0.1, 0.1, 0.2).
Routing two_rows(bool normalized) {
  Routing routing;
  for (const double p : {0.1, 0.4, 0.3, 0.2, 0.6, 0.1, 0.1, 0.2}) {
    routing.logits.push_back(static_cast<float>(std::log(p)));
  }
  route(experts_of(4, 2, normalized), {}, 2, routing);
  return routing;
}

TEST(Routing, TakesTheGreatestProbabilities) {
  const Routing plain = two_rows(false);
  EXPECT_THAT(plain.chosen, ElementsAre(1, 2, 0, 3));
  EXPECT_THAT(plain.begins, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(plain.places, ElementsAre(1, 2, 0, 3));
  EXPECT_NEAR(plain.weights[0], 0.4, 1e-6);
  EXPECT_NEAR(plain.weights[3], 0.2, 1e-6);
  const Routing normalized = two_rows(true);
  EXPECT_NEAR(normalized.weights[0], 0.4 / 0.7, 1e-6);
  EXPECT_NEAR(normalized.weights[3], 0.2 / 0.8, 1e-6);
}

TEST(Routing, OfEqualOnesTheFirst) {
  Routing routing;
  routing.logits.assign(8, 1.0f);
  route(experts_of(4, 3, true), {}, 2, routing);
  EXPECT_THAT(routing.chosen, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(routing.count(3), 0);
  routing.logits.assign(8, std::nanf(""));
  route(experts_of(4, 3, true), {}, 2, routing);
  EXPECT_THAT(routing.chosen, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(routing.weights, Each(IsNan()));
}

// Sigmoids 0.5, 0.8, 0.6, 0.7, of which the bias makes 0.9, 0.8, 0.6, 0.75.
Routing sigmoids(Experts experts) {
  Routing routing;
  for (const double p : {0.5, 0.8, 0.6, 0.7}) routing.logits.push_back(static_cast<float>(std::log(p / (1 - p))));
  experts.score = RouterScore::kSigmoid;
  route(experts, std::vector<float>{0.4f, 0.0f, 0.0f, 0.05f}, 1, routing);
  return routing;
}

TEST(Routing, ABiasChoosesAndDoesNotWeigh) {
  Experts experts = experts_of(4, 2, true);
  experts.weight_scale = 2.5f;
  const Routing routing = sigmoids(experts);
  EXPECT_THAT(routing.chosen, ElementsAre(0, 1));
  EXPECT_NEAR(routing.weights[0], 2.5 * 0.5 / 1.3, 1e-6);
  EXPECT_NEAR(routing.weights[1], 2.5 * 0.8 / 1.3, 1e-6);
  experts.least_sum = 2.0f;
  EXPECT_NEAR(sigmoids(experts).weights[1], 2.5 * 0.8 / 2.0, 1e-6);
}

// Groups (0.9, 0.8) and (0.6, 0.75), or by softmax (0.1, 0.4) and (0.3, 0.2).
TEST(Routing, OnlyTheBestGroupsAreChosenFrom) {
  Experts experts = experts_of(4, 2, false);
  experts.groups = 2, experts.top_groups = 1, experts.group_best = 2;
  EXPECT_THAT(sigmoids(experts).chosen, ElementsAre(0, 1));
  Routing routing;
  for (const double p : {0.1, 0.4, 0.3, 0.2}) routing.logits.push_back(static_cast<float>(std::log(p)));
  Routing by_sum = routing, by_best = routing;
  route(experts, std::vector<float>{0.0f, 0.0f, 0.1f, 0.0f}, 1, by_sum);  // sums 0.5 and 0.6
  EXPECT_THAT(by_sum.chosen, ElementsAre(2, 3));
  EXPECT_NEAR(by_sum.weights[0], 0.3, 1e-6);
  experts.group_best = 1;
  route(experts, {}, 1, by_best);
  EXPECT_THAT(by_best.chosen, ElementsAre(1, 0));
  EXPECT_NEAR(by_best.weights[1], 0.1, 1e-6);
}

// The margin lets those of 4 and 3.9 take part in the first choice, those of 3.9 and 3.7 in the second: 3.7 is too far
// from 4, and 1 from all.
TEST(Routing, SparseMixerWeighsAgainstThoseNearby) {
  Experts experts = experts_of(4, 2, false);
  experts.score = RouterScore::kSparseMixer;
  experts.mixer_margin = 0.06f;
  Routing routing;
  routing.logits = {3.7f, 1.0f, 4.0f, 3.9f, 0.0f, 0.0f, 0.0f, 0.0f};
  route(experts, {}, 2, routing);
  EXPECT_THAT(routing.chosen, ElementsAre(2, 3, 0, 1));
  EXPECT_NEAR(routing.weights[0], 1 / (1 + std::exp(-0.1)), 1e-6);
  EXPECT_NEAR(routing.weights[1], 1 / (1 + std::exp(-0.2)), 1e-6);
  EXPECT_NEAR(routing.weights[2], 0.25, 1e-6);
  EXPECT_NEAR(routing.weights[3], 1.0 / 3, 1e-6);
}

TEST(Routing, GathersByExpertAndAddsWhatTheyGive) {
  const Routing routing = two_rows(false);
  ThreadPool threads(2);
  const std::vector<float> x = {1, 2, 3, 4};
  std::vector<float> out(8), y(4, 100.0f);
  gather_routed(routing, 2, x.data(), 2, out.data(), threads);
  EXPECT_THAT(out, ElementsAre(3, 4, 1, 2, 1, 2, 3, 4));
  add_routed(routing, 2, out.data(), 2, y.data(), threads);
  EXPECT_NEAR(y[0], 100 + 0.7 * 1, 1e-5);
  EXPECT_NEAR(y[3], 100 + 0.8 * 4, 1e-5);
}

}  // namespace
}  // namespace bitloom
