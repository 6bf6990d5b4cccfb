#include "eval/divergence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "eval/logits/fake_source.h"

namespace bitloom {
namespace {

using testing::FakeSource;
using ::testing::HasSubstr;
using testing::random_source;
using testing::random_windows;

DivergenceResult run(LogitsSource& reference, LogitsSource& model, const TextWindows& windows, int threads = 2) {
  ThreadPool pool(threads);
  Progress silent;
  Context context{pool, silent};
  return divergence(reference, model, windows, context);
}

std::string message_of(LogitsSource& reference, LogitsSource& model, const TextWindows& windows) {
  try {
    run(reference, model, windows);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Divergence, FromItselfIsZero) {
  FakeSource one = random_source(61, 3), other = random_source(61, 3);
  const DivergenceResult out = run(one, other, random_windows(9, 90, 1, 61));
  EXPECT_EQ(out.kl_mean, 0);
  EXPECT_EQ(out.kl_low, 0);
  EXPECT_EQ(out.kl_high, 0);
  EXPECT_EQ(out.kl_max, 0);
  EXPECT_EQ(out.top1, 1);
  EXPECT_EQ(out.nll, out.nll_ref);
  EXPECT_EQ(out.tokens, 9 * 89);
  EXPECT_EQ(out.windows, 9);
}

TEST(Divergence, OneObjectMayBeBoth) {
  FakeSource model = random_source(61, 3);
  EXPECT_EQ(run(model, model, random_windows(2, 20, 1, 61)).kl_max, 0);
}

// p = (3/4, 1/4) at every position, q uniform: KL = log 2 - H(1/4) = 3/4 log 3/2 + 1/4 log 1/2.
TEST(Divergence, OfKnownDistributions) {
  FakeSource p(2, [](std::span<const int32_t>, std::span<float> out) { out[0] = std::log(3.0f), out[1] = 0; });
  FakeSource q(2, [](std::span<const int32_t>, std::span<float> out) { out[0] = out[1] = 1; });
  const DivergenceResult out = run(p, q, random_windows(8, 30, 15, 2));
  const double expected = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  // log 3 in fp32 is off by 2^-25 or less, times |dKL/dx| <= 1; 120 equal terms add without more than 120 roundings.
  EXPECT_NEAR(out.kl_mean, expected, 0x1p-24);
  EXPECT_NEAR(out.kl_median, expected, 0x1p-24);
  EXPECT_EQ(out.kl_max, out.kl_median);
  EXPECT_NEAR(out.nll, std::numbers::ln2, 1e-14);
  EXPECT_EQ(out.top1, 1);  // equal logits: the lowest id stands for both
}

TEST(Divergence, AgreesWithTheSlowDefinition) {
  const TextWindows windows = random_windows(10, 120, 30, 41);
  FakeSource reference = random_source(41, 2, 0.3, 1), model = random_source(41, 2, 0.3, 2);
  std::vector<double> kl, windows_kl;
  long double sum = 0;
  int same = 0;
  for (const TextWindows::Window& window : windows.windows) {
    const long double before = sum;
    for (size_t t = static_cast<size_t>(window.first_scored); t < window.tokens.size(); ++t) {
      std::vector<float> p(41), q(41);
      reference.run(std::span(window.tokens).first(t));
      reference.logits(static_cast<int64_t>(t) - 1, 1, p.data());
      model.run(std::span(window.tokens).first(t));
      model.logits(static_cast<int64_t>(t) - 1, 1, q.data());
      kl.push_back(static_cast<double>(testing::slow_kl(p, q)));
      sum += kl.back();
      same += std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
    }
    windows_kl.push_back(static_cast<double>((sum - before) / 90));
  }
  std::sort(kl.begin(), kl.end());
  const DivergenceResult out = run(reference, model, windows);
  // One KL: 41 products of weights that sum to 1 and differences below 20, a few roundings each.
  const double tolerance = 20 * 50 * 0x1p-52;
  ASSERT_EQ(kl.size(), 900u);
  EXPECT_NEAR(out.kl_mean, static_cast<double>(sum / 900), tolerance);
  EXPECT_THAT(out.kl_windows, ::testing::Pointwise(::testing::DoubleNear(tolerance), windows_kl));
  EXPECT_NEAR(out.kl_median, (kl[449] + kl[450]) / 2, tolerance);
  EXPECT_NEAR(out.kl_p90, kl[809] + 0.1 * (kl[810] - kl[809]), tolerance);   // rank 0.9 * 899 = 809.1
  EXPECT_NEAR(out.kl_p99, kl[890] + 0.01 * (kl[891] - kl[890]), tolerance);  // rank 890.01
  EXPECT_NEAR(out.kl_p999, kl[898] + 0.101 * (kl[899] - kl[898]), tolerance);
  EXPECT_NEAR(out.kl_max, kl[899], tolerance);
  EXPECT_EQ(out.top1, same / 900.0);
  EXPECT_GT(same, 500);  // the two models are near each other, but not the same
  EXPECT_LT(same, 900);
  EXPECT_LT(out.kl_low, out.kl_mean);
  EXPECT_GT(out.kl_high, out.kl_mean);
  EXPECT_EQ(out.interval, "Student t over 10 windows");
}

TEST(Divergence, IsTheSameForAnyNumberOfThreads) {
  const TextWindows windows = random_windows(3, 200, 1, 41);
  FakeSource reference = random_source(41, 2, 0.3, 1), model = random_source(41, 2, 0.3, 2);
  const DivergenceResult one = run(reference, model, windows, 1);
  for (const int threads : {2, 5}) {
    const DivergenceResult many = run(reference, model, windows, threads);
    EXPECT_EQ(one.kl_mean, many.kl_mean);
    EXPECT_EQ(one.kl_high, many.kl_high);
    EXPECT_EQ(one.nll, many.nll);
    EXPECT_EQ(one.nll_ref, many.nll_ref);
  }
}

// KL of two models that differ by e in a few logits falls with e^2.
TEST(Divergence, FallsWithTheSquareOfASmallDifference) {
  const TextWindows windows = random_windows(8, 60, 1, 41);
  FakeSource reference = random_source(41, 2);
  FakeSource near = random_source(41, 2, 1e-3, 1), nearer = random_source(41, 2, 5e-4, 1);
  const double ratio = run(reference, near, windows).kl_mean / run(reference, nearer, windows).kl_mean;
  // KL = Var_p(d) / 2 + third moments: relative 1e-3; logits near 8 round to 2^-22, against 5e-4 another 1e-3.
  EXPECT_NEAR(ratio, 4, 0.02);
}

TEST(Divergence, FiguresTellOfASketchOnlyWhereThereIsOne) {
  DivergenceResult result;
  result.kl_mean = 0.25, result.kl_low = 0.125, result.kl_high = 0.5, result.top1 = 0.75;
  EXPECT_EQ(kl_figures(result).at("kl_ci95"), (Json{0.125, 0.5}));
  EXPECT_EQ(kl_figures(result).at("top1"), 0.75);
  EXPECT_FALSE(kl_figures(result).contains("kl_sketch_bound"));
  result.kl_error = 0.01, result.kl_certain = 0.2;
  EXPECT_DOUBLE_EQ(kl_figures(result).at("kl_sketch_bound").get<double>(), 0.04);
  EXPECT_EQ(kl_figures(result).at("kl_certain"), 0.2);
}

TEST(Divergence, RefusesDifferentVocabularies) {
  FakeSource reference = random_source(40, 1), model = random_source(41, 1);
  EXPECT_THAT(message_of(reference, model, random_windows(2, 9, 1, 40)),
              HasSubstr("the reference has a vocabulary of 40, the model one of 41"));
}

TEST(Divergence, NamesTheModelWhoseLogitIsNotFinite) {
  const TextWindows windows = random_windows(2, 9, 1, 4);
  FakeSource good = random_source(4, 1);
  FakeSource bad(4, [](std::span<const int32_t> tokens, std::span<float> out) {
    std::fill(out.begin(), out.end(), 0.0f);
    if (tokens.size() == 6) out[2] = std::numeric_limits<float>::quiet_NaN();
  });
  EXPECT_THAT(message_of(bad, good, windows),
              HasSubstr("the reference: logit of token 2 is nan at position 5 of window 0"));
  EXPECT_THAT(message_of(good, bad, windows),
              HasSubstr("the model: logit of token 2 is nan at position 5 of window 0"));
}

}  // namespace
}  // namespace bitloom
