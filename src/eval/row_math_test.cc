#include "eval/row_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "eval/logits/fake_source.h"

namespace bitloom {
namespace {

using testing::slow_kl;
using testing::slow_log_softmax;

std::vector<float> random_row(size_t vocab, double spread, uint64_t seed) {
  Rng rng(seed, 3);
  std::vector<float> out(vocab);
  for (float& x : out) x = static_cast<float>(spread * rng.normal());
  return out;
}

// Each of the V terms of a sum of positive terms rounds once when it is made (exp: under 1 ulp) and once when it is
// added: relative error of Z under (V + 1) 2^-52, and log Z takes that as an absolute error. x - m is exact to 2^-53 |x
// - m|.
double tolerance(size_t vocab, double range) { return (static_cast<double>(vocab) + 1 + range) * 0x1p-52; }

TEST(RowMath, UniformRowCostsLogOfTheVocabulary) {
  for (const size_t vocab : {1u, 2u, 105u, 4096u, 49152u}) {
    const std::vector<float> row(vocab, -3.25f);
    EXPECT_NEAR(row_nll(row, static_cast<int64_t>(vocab) - 1), std::log(static_cast<double>(vocab)),
                tolerance(vocab, 0));
  }
}

TEST(RowMath, NllAgreesWithTheSlowDefinition) {
  for (const double spread : {0.01, 1.0, 8.0, 200.0}) {
    const std::vector<float> row = random_row(5000, spread, 1);
    const std::vector<long double> slow = slow_log_softmax(row);
    for (size_t v = 0; v < row.size(); v += 97)
      EXPECT_NEAR(row_nll(row, static_cast<int64_t>(v)), static_cast<double>(-slow[v]), tolerance(5000, 10 * spread));
  }
}

TEST(RowMath, HugeLogitsDoNotOverflow) {
  const std::vector<float> row{3e38f, -3e38f, 3e38f};
  EXPECT_DOUBLE_EQ(row_nll(row, 0), std::numbers::ln2);
  EXPECT_TRUE(std::isfinite(row_nll(row, 1)));
  EXPECT_TRUE(std::isfinite(row_divergence(row, row, 1).kl));
}

// p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): KL = 1/2 log 2 + 0 - 1/4 log 2 = (log 2) / 4.
TEST(RowMath, DivergenceOfKnownDistributions) {
  const std::vector<float> p{std::log(0.5f), std::log(0.25f), std::log(0.25f)};
  const std::vector<float> q{std::log(0.25f), std::log(0.25f), std::log(0.5f)};
  const RowDivergence out = row_divergence(p, q, 1);
  // The logits are fp32: off by 2^-25 relative to 1.4, and their weights add to at most 1 on each side.
  EXPECT_NEAR(out.kl, std::numbers::ln2 / 4, 4 * 1.4 * 0x1p-24);
  EXPECT_NEAR(out.nll_p, std::log(4.0), 4 * 1.4 * 0x1p-24);
  EXPECT_NEAR(out.nll_q, std::log(4.0), 4 * 1.4 * 0x1p-24);
  EXPECT_FALSE(out.same_top);
}

// Against the uniform distribution: KL(p || u) = log V - H(p); for p = a point mass that is log V.
TEST(RowMath, DivergenceOfAPointMassFromUniform) {
  std::vector<float> point(1000, -1e30f);
  point[17] = 0;
  const std::vector<float> uniform(1000, 0.5f);
  EXPECT_NEAR(row_divergence(point, uniform, 17).kl, std::log(1000.0), tolerance(1000, 0));
}

TEST(RowMath, DivergenceFromItselfIsExactlyZero) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> row = random_row(333, 5, seed);
    const RowDivergence out = row_divergence(row, row, 5);
    EXPECT_EQ(out.kl, 0.0);
    EXPECT_EQ(out.nll_p, out.nll_q);
    EXPECT_TRUE(out.same_top);
  }
}

TEST(RowMath, DivergenceAgreesWithTheSlowDefinition) {
  for (const double noise : {1e-4, 1e-2, 1.0, 10.0}) {
    const std::vector<float> p = random_row(5000, 4, 1), other = random_row(5000, noise, 2);
    std::vector<float> q = p;
    for (size_t v = 0; v < q.size(); ++v) q[v] += other[v];
    const RowDivergence out = row_divergence(p, q, 3);
    // Each product e (x - y) rounds three times, weights sum to 1 and |x - y| < 80.
    EXPECT_NEAR(out.kl, static_cast<double>(slow_kl(p, q)), 80 * tolerance(5000, 80));
    EXPECT_GE(out.kl, 0);
    EXPECT_DOUBLE_EQ(out.nll_p, row_nll(p, 3));
    EXPECT_DOUBLE_EQ(out.nll_q, row_nll(q, 3));
  }
}

// Values are multiples of 2^-10 below 16, so adding 1000 is exact in fp32 and nothing may change but rounding.
TEST(RowMath, AConstantAddedToLogitsChangesNothing) {
  std::vector<float> p = random_row(300, 3, 4), q = random_row(300, 3, 5);
  for (float& x : p) x = std::round(x * 1024) / 1024;
  for (float& x : q) x = std::round(x * 1024) / 1024;
  std::vector<float> moved_p = p, moved_q = q;
  for (float& x : moved_p) x += 1000;
  for (float& x : moved_q) x -= 500;
  EXPECT_EQ(row_divergence(p, q, 2).kl, row_divergence(moved_p, moved_q, 2).kl);
  EXPECT_EQ(row_nll(p, 2), row_nll(moved_p, 2));
}

TEST(RowMath, TopIsTheLowestAmongEquals) {
  const std::vector<float> row{1, 5, -2, 5};
  EXPECT_EQ(top_of(row).index, 1);
  EXPECT_EQ(top_of(row).value, 5.0f);
}

TEST(RowMath, FindsTheFirstValueThatIsNotFinite) {
  std::vector<float> row(20, 1.0f);
  EXPECT_EQ(first_non_finite(row), -1);
  row[13] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(first_non_finite(row), 13);
  row[7] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(first_non_finite(row), 7);
}

}  // namespace
}  // namespace bitloom
