#include "round/feedback_share.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "round/gptq/gptq.h"
#include "round/plain_error.h"
#include "round/predicted_kl/predicted_kl.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"
#include "round/trellis/trellis_rounding.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 64, kCols = 96, kTokens = 1024;

/// Neighbouring channels go together.
std::vector<float> correlated(int64_t channels, uint64_t seed) {
  Rng rng(seed, 6);
  std::vector<float> x(static_cast<size_t>(channels * kTokens));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.normal()) + (i % static_cast<size_t>(channels) > 0 ? 0.8f * x[i - 1] : 0);
  }
  return x;
}

class FeedbackShare : public ::testing::Test {
 protected:
  FeedbackShare() {
    const std::vector<float> x = correlated(kCols, 5), g = correlated(kRows, 7);
    moments_.add(x.data(), g.data(), kTokens, threads_);
    inputs_.add(nullptr, x.data(), kTokens, threads_);
  }
  RoundingProblem problem(const char* target) {
    return {"w", w_, parse_target(target), &inputs_, cache_, alone_, threads_, &moments_};
  }
  /// predicted_kl of what the method leaves over that of white noise as large as the plain error of normal weights.
  double left(const Rounding& rounding, const char* target) {
    double norm = 0, in = 0;
    for (const float value : w_.values()) norm += double{value} * value;
    for (const double square : moments_.in().mean_squares()) in += square;
    const double noise = plain_error_of_normal(parse_target(target), kRows, kCols, threads_).error * norm / kCols;
    return predicted_kl(w_, *round_matrix(rounding, problem(target)).matrix, moments_, threads_) / (noise * in / 2);
  }

  ThreadPool threads_{1};
  Ranks alone_;
  InputCache cache_;
  DenseMatrix w_ = testing::normal_matrix(kRows, kCols, 6);
  GuidedMoments moments_{kCols, kRows, {.guided_moment = true, .output_moment = true}};
  InputStatistics inputs_{kCols};
};

// 6144 errors tell a mean to sqrt(2 / 6144), 2 %, and as much is not known of the plain error; targets that feedback
// makes larger by less than the code is made for have up to 1 / share^2, 1.23, less error than f says.
TEST_F(FeedbackShare, IsWhatTilesLeave) {
  for (const char* target : {"trellis2-l12+frame-in32-out64", "trellis3-l12+frame-in32-out64"}) {
    for (const bool two_sided : {false, true}) {
      const LdlqRounding options{.guided = true, .two_sided = two_sided};
      const double measured = left(options, target), f = feedback_share(options, problem(target), moments_);
      EXPECT_GT(f / measured, 0.95) << target << two_sided;
      EXPECT_LT(f / measured, 1.23 * 1.05) << target << two_sided;
      EXPECT_LT(measured, two_sided ? 0.6 : 0.9) << target;
    }
  }
}

TEST_F(FeedbackShare, IsWhatColumnsLeave) {
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation}) {
    const GptqRounding options{.order = order, .guided = true};
    const char* target = "int4-row+frame-in32-out64";
    const double measured = left(options, target), f = feedback_share(options, problem(target), moments_);
    EXPECT_NEAR(f / measured, 1, 0.15);  // scales of rows are the weights' own, not the targets'
    EXPECT_LT(measured, 0.7);
  }
}

TEST_F(FeedbackShare, WithoutFeedbackItIsOne) {
  EXPECT_FALSE(knows_feedback_share(ViterbiRounding{}));
  EXPECT_EQ(feedback_share(ViterbiRounding{}, problem("trellis2-l12"), moments_), 1);
}

}  // namespace
}  // namespace bitloom
