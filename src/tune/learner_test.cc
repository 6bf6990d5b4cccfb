#include "tune/learner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitloom {
namespace {

/// (x - 3)^2 of one number; what it gives from some call on is not finite.
class Parabola final : public Objective {
 public:
  const Vectors& vectors() const override { return vectors_; }
  std::map<std::string, double> sizes() const override { return {{"x", 1.0}}; }
  void set(Vectors values) override { vectors_ = std::move(values); }
  double loss(size_t, VectorGradients* gradients, const OfWeights&) override {
    const double off = static_cast<double>(vectors_.at("x")[0]) - 3;
    const bool breaks = gradients != nullptr && ++steps_ >= breaks_at;
    if (gradients != nullptr) (*gradients)["x"] = {breaks && gradient_breaks ? std::nan("") : 2 * off};
    return breaks && !gradient_breaks ? std::numeric_limits<double>::infinity() : off * off;
  }
  int breaks_at = 1 << 30;
  bool gradient_breaks = false;

 private:
  Vectors vectors_ = {{"x", {1.0f}}};
  int steps_ = 0;
};

Learner learner_of(Parabola& parabola, Progress& progress, size_t batches, int64_t epochs, double rate) {
  return {parabola,
          {.name = "test", .loss = "error", .rows = std::vector<int64_t>(batches, 2), .epochs = epochs, .rate = rate},
          [](int64_t, const std::string&) {},
          progress};
}

TEST(Learner, FindsTheLeast) {
  Parabola parabola;
  Progress silent;
  Learner learner = learner_of(parabola, silent, 10, 20, 0.05);
  learner.run();
  EXPECT_NEAR(parabola.vectors().at("x")[0], 3, 0.05);
  EXPECT_EQ(learner.state().held_out.first, 4);
  EXPECT_LT(learner.state().held_out.best, 0.01);
}

TEST(Learner, RefusesAStepThatIsNotFiniteAndKeepsTheLastGoodState) {
  for (const bool of_gradient : {false, true}) {
    Parabola parabola;
    parabola.breaks_at = 6, parabola.gradient_breaks = of_gradient;
    Progress silent;
    Learner learner = learner_of(parabola, silent, 3, 20, 0.05);
    learner.run();
    EXPECT_EQ(learner.state().adam.steps, 5);
    EXPECT_EQ(learner.state().held_out.best_step, 5);
    const double x = parabola.vectors().at("x")[0];
    EXPECT_NEAR((x - 3) * (x - 3), learner.state().held_out.best, 1e-12);
    EXPECT_GT(x, 1.2) << "it has learned until then";
  }
}

/// A code that the V step counts up, and that should be 3.
class Counter final : public Objective {
 public:
  const Vectors& vectors() const override { return vectors_; }
  std::map<std::string, double> sizes() const override { return {{"x", 1.0}}; }
  void set(Vectors) override {}
  CodeState begin_codes() override { return {{{"w", {0}}}, {{"w", {2.0f}}}, {{"w", {0.0f}}}}; }
  std::map<std::string, int64_t> code_entries() const override { return {{"w", 256}}; }
  void set_codes(Codes codes) override { codes_ = std::move(codes); }
  void choose_codes(const CodeOptions&, CodeState& state) override {
    ++state.codes.at("w")[0];
    wanted = state.wanted.at("w")[0];
    codes_ = state.codes;
  }
  double loss(size_t, VectorGradients* gradients, const OfWeights& of_weights) override {
    if (gradients != nullptr) {
      (*gradients)["x"] = {0.0};
      of_weights("w", 0, std::vector<float>{0.5f});
    }
    return std::abs(static_cast<double>(codes_.at("w")[0]) - 3);
  }
  const Codes& codes() const { return codes_; }
  float wanted = 0;

 private:
  Vectors vectors_ = {{"x", {1.0f}}};
  Codes codes_ = {{"w", {0}}};
};

// One step an epoch, a check behind each: the fourth is worse, and ends it.
TEST(Learner, KeepsTheCodesOfTheBestCheck) {
  Counter counter;
  Progress silent;
  Learner learner(
      counter, {.name = "test", .loss = "error", .rows = {2, 2}, .epochs = 20, .codes = {.rate = 0.25}},
      [](int64_t, const std::string&) {}, silent);
  learner.run();
  EXPECT_EQ(learner.state().codes.codes.at("w")[0], 4);
  EXPECT_EQ(learner.state().held_out.best, 0);
  EXPECT_EQ(counter.codes().at("w")[0], 3);
  double expected = 2;  // steps of the rate, which falls by half a cosine, times the size 2, down
  for (int t = 0; t < 4; ++t) expected -= 2 * cosine_rate(0.25, t, 20);
  EXPECT_NEAR(counter.wanted, expected, 1e-5);
}

TEST(Learner, StepsThatAreTooLongChangeNothing) {
  Parabola parabola;
  Progress silent;
  Learner learner = learner_of(parabola, silent, 3, 20, 100);
  learner.run();
  EXPECT_EQ(parabola.vectors().at("x")[0], 1);
  EXPECT_EQ(learner.state().held_out.best_step, 0);
  EXPECT_LT(learner.state().adam.steps, 40) << "an epoch without gain ends it";
}

TEST(Learner, ATenthIsHeldOutAndAlwaysSomething) {
  EXPECT_EQ(split_batches(25).held_out, (std::vector<size_t>{9, 19}));
  EXPECT_EQ(split_batches(3).held_out, std::vector<size_t>{2});
  EXPECT_EQ(split_batches(3).learned_from, (std::vector<size_t>{0, 1}));
  EXPECT_TRUE(split_batches(1).learned_from.empty());
  EXPECT_EQ(split_batches(8, 0.25).held_out, (std::vector<size_t>{3, 7}));
  EXPECT_EQ(split_batches(1000).held_out.size(), 100u);
}

// 49 (1.0 / 49) is less than 1 in fp64.
TEST(Learner, TheNthPartOfNIsOneAndAllButItTheRest) {
  for (size_t n = 2; n <= 2000; ++n) {
    const double part = 1 / static_cast<double>(n);
    EXPECT_EQ(held_out_of(n, part), 1) << n;
    EXPECT_EQ(held_out_of(n, 1 - part), static_cast<int64_t>(n) - 1) << n;
    EXPECT_EQ(held_out_of(n, 0.99 * part), 0) << n;
    EXPECT_EQ(split_batches(n, part).held_out, std::vector<size_t>{n - 1}) << n;
    EXPECT_EQ(split_batches(n, 1 - part).learned_from.size(), 1u) << n;
  }
}

}  // namespace
}  // namespace bitloom
