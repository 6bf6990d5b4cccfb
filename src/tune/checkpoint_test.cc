#include "tune/checkpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "base/error.h"
#include "base/test_data.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TempDir;

constexpr int64_t kSteps = 20;

/// Two vectors, and a matrix of 3 codes below 16 that stand for 6 weights.
LearningState some_state() {
  LearningState state;
  state.adam.values = {{"x.mantissa", {1.0f, 2.0f}}, {"y", {-0.5f}}};
  state.adam.first = {{"x.mantissa", {0.25f, 0.5f}}, {"y", {3.0f}}};
  state.adam.second = {{"x.mantissa", {4.0f, 5.0f}}, {"y", {6.0f}}};
  state.adam.steps = 8;
  state.codes.codes = {{"w", {0, 15, 7}}};
  state.codes.wanted = {{"w", {1, 2, 3, 4, 5, 6}}};
  state.codes.second = {{"w", {6, 5, 4, 3, 2, 1}}};
  state.best = {{"x.mantissa", {7.0f, 8.0f}}, {"y", {9.0f}}};
  state.best_codes = {{"w", {1, 2, 15}}};
  state.held_out = {.first = 2.5, .best = 0.1, .best_step = 6, .checks_since = 2};
  return state;
}

ExpectedState expected_of(const Vectors& vectors, int64_t entries = 16) {
  return {vectors, {{"w", {3, 6, entries}}}, kSteps, ""};
}

TEST(TuningCheckpoint, IsReadAsItWasSaved) {
  const TempDir dir;
  const LearningState state = some_state();
  save(dir.file("state"), state);
  const LearningState read = load_state(dir.file("state"), expected_of(state.best));
  EXPECT_EQ(read.adam.values, state.adam.values);
  EXPECT_EQ(read.adam.first, state.adam.first);
  EXPECT_EQ(read.adam.second, state.adam.second);
  EXPECT_EQ(read.adam.steps, 8);
  EXPECT_EQ(read.codes, state.codes);
  EXPECT_EQ(read.best, state.best);
  EXPECT_EQ(read.best_codes, state.best_codes);
  EXPECT_EQ(read.held_out, state.held_out);
  EXPECT_FALSE(read.done);
}

/// What is said of the state after `change`.
std::string refused(const std::function<void(LearningState&)>& change, int64_t entries = 16) {
  const TempDir dir;
  LearningState state = some_state();
  change(state);
  save(dir.file("state"), state);
  const Vectors like = some_state().best;
  const std::string message =
      message_of(ErrorKind::kRefused, [&] { load_state(dir.file("state"), expected_of(like, entries)); });
  EXPECT_THAT(message, HasSubstr(dir.file("state")));
  EXPECT_THAT(message, HasSubstr("add --restart to begin anew"));
  return message;
}

TEST(TuningCheckpoint, CodesBeyondTheEntriesAreRefused) {
  EXPECT_THAT(refused([](LearningState& state) { state.codes.codes["w"][1] = 16; }),
              HasSubstr("tensor 'codes/w' has the code 16 at 1, must be below 16"));
  EXPECT_THAT(refused([](LearningState& state) { state.best_codes["w"][2] = 65535; }),
              HasSubstr("tensor 'best_codes/w' has the code 65535 at 2, must be below 16"));
  EXPECT_THAT(refused([](LearningState&) {}, 15), HasSubstr("has the code 15 at "));
}

// Whatever is read of it would follow: steps, codes, a format's place in a list.
TEST(TuningCheckpoint, NumbersThatAreNotFiniteAreRefused) {
  struct Case {
    const char* tensor;
    std::function<Vectors&(LearningState&)> vectors;
  };
  const Case cases[] = {
      {"values/x.mantissa", [](LearningState& state) -> Vectors& { return state.adam.values; }},
      {"first/x.mantissa", [](LearningState& state) -> Vectors& { return state.adam.first; }},
      {"second/x.mantissa", [](LearningState& state) -> Vectors& { return state.adam.second; }},
      {"best/x.mantissa", [](LearningState& state) -> Vectors& { return state.best; }},
      {"wanted/w", [](LearningState& state) -> Vectors& { return state.codes.wanted; }},
      {"weight_second/w", [](LearningState& state) -> Vectors& { return state.codes.second; }},
  };
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    for (const Case& of : cases) {
      const std::string name = std::string(of.tensor).substr(std::string(of.tensor).find('/') + 1);
      EXPECT_THAT(refused([&](LearningState& state) { of.vectors(state).at(name)[1] = value; }),
                  HasSubstr(fmt::format("tensor '{}' has {} at 1, must be finite", of.tensor, value)));
    }
  }
}

TEST(TuningCheckpoint, CountsThatCannotBeAreRefused) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(refused([](LearningState& state) { state.adam.steps = -5; }),
              HasSubstr("'steps' is -5, must be 0 to 20"));
  EXPECT_THAT(refused([](LearningState& state) { state.adam.steps = kMost; }), HasSubstr("must be 0 to 20"));
  EXPECT_THAT(refused([](LearningState& state) { state.held_out.best_step = -1; }),
              HasSubstr("'best_step' is -1, must be 0 to 8"));
  EXPECT_THAT(refused([](LearningState& state) { state.held_out.best_step = 9; }), HasSubstr("'best_step' is 9"));
  EXPECT_THAT(refused([](LearningState& state) { state.held_out.checks_since = -1; }),
              HasSubstr("'checks_since' is -1, must be 0 to 8"));
}

TEST(TuningCheckpoint, OtherVectorsAndMatricesAreRefused) {
  EXPECT_THAT(refused([](LearningState& state) { state.adam.values.erase("y"); }),
              HasSubstr("tensor 'values/y' is missing"));
  EXPECT_THAT(refused([](LearningState& state) { state.codes.wanted["w"].pop_back(); }),
              HasSubstr("tensor 'wanted/w' is not 6 values of F32"));
  EXPECT_THAT(refused([](LearningState& state) { state.codes.codes["w"].push_back(0); }),
              HasSubstr("tensor 'codes/w' is not 3 values of U16"));
}

TEST(TuningCheckpoint, AnotherRunIsNamed) {
  const TempDir dir;
  const LearningState state = some_state();
  save(dir.file("state"), state, R"({"lr":0.5})");
  ExpectedState expected = expected_of(state.best);
  expected.run = R"({"lr":0.25})";
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { load_state(dir.file("state"), expected); }),
              HasSubstr("where another run stood: lr was 0.5, is 0.25; "));
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { load_state(dir.file("none"), expected); }),
              HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace bitloom
