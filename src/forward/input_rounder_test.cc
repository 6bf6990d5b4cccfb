#include "forward/input_rounder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<float> round(const std::string& format, std::vector<float> x, int64_t width) {
  ThreadPool threads(2);
  InputRounder(parse_activation_format(format))
      .round(x.data(), static_cast<int64_t>(x.size()) / width, width, x.data(), threads);
  return x;
}

// Scales are powers of two here, so every number is exact.
TEST(InputRounder, WhoSharesAScale) {
  const std::vector<float> x = {127, 1.4f, -2.5f, 0.25f, 254, 3, -63.5f, 0.2f};
  EXPECT_THAT(round("int8-token", x, 4), ElementsAre(127, 1, -2, 0, 254, 4, -64, 0));
  EXPECT_THAT(round("int8-tensor", x, 4), ElementsAre(128, 2, -2, 0, 254, 4, -64, 0));
  // The last group of three channels has one.
  const std::vector<float> tail = round("int8-g3", x, 4);
  EXPECT_THAT(std::vector<float>(tail.begin(), tail.begin() + 3), ElementsAre(127, 1, -2));
  EXPECT_FLOAT_EQ(tail[3], 0.25f);
  EXPECT_THAT(round("e2m1-token", {6, 2.4f, -5.1f, 0.7f}, 4), ElementsAre(6, 2, -6, 0.5f));
}

TEST(InputRounder, NothingIsNothing) {
  EXPECT_THAT(round("int8-token", {0, -0.0f, 127, 1}, 2), ElementsAre(0, 0, 127, 1));
  // A scale that is no normal number: the values are lost.
  EXPECT_THAT(round("int8-token", {1e-37f, -1e-37f}, 2), ElementsAre(0, 0));
}

TEST(InputRounder, WhatIsNotFiniteShows) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), NAN}) {
    const std::vector<float> rounded = round("int8-token", {1, bad, 127, 1}, 2);
    EXPECT_TRUE(std::isnan(rounded[0]) && std::isnan(rounded[1]));
    EXPECT_EQ(rounded[2], 127.0f);
    EXPECT_EQ(rounded[3], 1.0f);
  }
}

TEST(InputRounder, AnyNumberOfThreadsGivesTheSameBytes) {
  std::vector<float> x(100 * 37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i));
  for (const char* text : {"int8-token", "e4m3fn-tensor", "int4-g16"}) {
    const InputRounder rounder(parse_activation_format(text));
    std::vector<float> one(x.size()), three(x.size());
    ThreadPool single(1), many(3);
    rounder.round(x.data(), 100, 37, one.data(), single);
    rounder.round(x.data(), 100, 37, three.data(), many);
    EXPECT_EQ(one, three) << text;
    EXPECT_NE(one, x) << text;
  }
}

}  // namespace
}  // namespace bitloom
