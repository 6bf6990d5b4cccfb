#include "forward/routing.h"

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
  route(experts_of(4, 2, normalized), 2, routing);
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
  route(experts_of(4, 3, true), 2, routing);
  EXPECT_THAT(routing.chosen, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_EQ(routing.count(3), 0);
  routing.logits.assign(8, std::nanf(""));
  route(experts_of(4, 3, true), 2, routing);
  EXPECT_THAT(routing.chosen, ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(routing.weights, Each(IsNan()));
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
