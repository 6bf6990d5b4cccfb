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
  double loss(size_t, VectorGradients* gradients) override {
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

}  // namespace
}  // namespace bitloom
