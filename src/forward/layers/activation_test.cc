#include "forward/layers/activation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/simd/simd_math.h"

namespace bitloom {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kUlp = 0x1p-23;  // of a number in [1, 2)

// Every 4099th float, both signs: a million points over all exponents.
template <typename Body>
void for_many_floats(const Body& body) {
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 4099) {
    body(std::bit_cast<float>(bits));
    body(-std::bit_cast<float>(bits));
  }
}

TEST(SimdMath, ExpIsWithinTwoUlp) {
  double worst = 0;
  for (double x = -87.25; x < 88.25; x += 0.000731) {
    const float input = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(input));
    worst = std::max(worst, std::abs(exp_fp32(input) - expected) / expected);
  }
  // r carries one rounding (ulp(ln2 / 2) / 2 = 2^-26), the Horner steps about one ulp of the result, the series 8e-9.
  EXPECT_LT(worst, 2 * kUlp);
}

TEST(SimdMath, ExpAtTheEdges) {
  EXPECT_EQ(exp_fp32(0.0f), 1.0f);
  EXPECT_EQ(exp_fp32(-0.0f), 1.0f);
  EXPECT_EQ(exp_fp32(-kInf), 0.0f);
  EXPECT_EQ(exp_fp32(-1e30f), 0.0f);
  EXPECT_EQ(exp_fp32(-87.4f), 0.0f);
  EXPECT_GT(exp_fp32(-87.29f), 0.0f);
  EXPECT_EQ(exp_fp32(kInf), kInf);
  EXPECT_EQ(exp_fp32(89.0f), kInf);
  EXPECT_TRUE(std::isfinite(exp_fp32(88.29f)));
  EXPECT_TRUE(std::isnan(exp_fp32(kNan)));
  for_many_floats([](float x) {
    const float y = exp_fp32(x);
    ASSERT_TRUE(y >= 0.0f) << x;
  });
}

TEST(SimdMath, SigmoidAndTanhStayInTheirRange) {
  for_many_floats([](float x) {
    ASSERT_TRUE(sigmoid_fp32(x) >= 0.0f && sigmoid_fp32(x) <= 1.0f) << x;
    // Four operations on values of at most 2: four half-ulps of 2.
    ASSERT_NEAR(tanh_fp32(x), std::tanh(static_cast<double>(x)), 4 * kUlp) << x;
  });
}

double reference(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kReluSquared:
      return x > 0 ? x * x : 0;
  }
  return 0;
}

class ActivationTest : public ::testing::TestWithParam<Activation> {};

TEST_P(ActivationTest, EqualsItsDefinition) {
  std::vector<float> x, y;
  for (double v = -30; v <= 30; v += 0.01) x.push_back(static_cast<float>(v));
  y.resize(x.size());
  activate(GetParam(), x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    // A few roundings of factors of at most |x|; for large negative x, e^u multiplies the relative error of u by |u|.
    const double expected = reference(GetParam(), x[i]);
    const double tolerance = 4 * kUlp * std::max({1.0, std::abs(static_cast<double>(x[i])), std::abs(expected)});
    ASSERT_NEAR(y[i], expected, tolerance) << x[i];
  }
}

// Whatever vector width the loop was compiled for, an element's bits are those of the scalar definition.
TEST(Activation, VectorCodeEqualsScalarCode) {
  std::vector<float> x, y;
  for_many_floats([&x](float v) { x.push_back(v); });
  y.resize(x.size());
  activate(Activation::kSilu, x.data(), static_cast<int64_t>(x.size()), y.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(x[i] * sigmoid_fp32(x[i]))) << x[i];
  }
}

TEST_P(ActivationTest, GatedIsTheProduct) {
  constexpr int64_t kCount = 517;  // two whole pieces of the loop and a part
  std::vector<float> gate(kCount), up(kCount), plain(kCount), gated(kCount);
  for (size_t i = 0; i < gate.size(); ++i) {
    gate[i] = static_cast<float>(i % 37) * 0.25f - 4.0f;
    up[i] = static_cast<float>(i % 11) - 5.0f;
  }
  std::vector<float> in_place = gate, into_up = up;
  activate(GetParam(), gate.data(), kCount, plain.data());
  activate_gated(GetParam(), gate.data(), up.data(), kCount, gated.data());
  activate_gated(GetParam(), in_place.data(), up.data(), kCount, in_place.data());
  activate_gated(GetParam(), gate.data(), into_up.data(), kCount, into_up.data());
  for (size_t i = 0; i < gate.size(); ++i) EXPECT_EQ(gated[i], plain[i] * up[i]);
  EXPECT_EQ(in_place, gated);
  EXPECT_EQ(into_up, gated);
}

// min(g, 7) / (1 + e^(-1.702 min(g, 7))) * (u held to [-7, 7] + 1)
TEST(ClampedGate, EqualsItsFormula) {
  Mlp mlp;
  mlp.clamp = 7.0f, mlp.gate_slope = 1.702f;
  std::vector<float> gate, up;
  for (int i = 0; i < 533; ++i) {
    gate.push_back(static_cast<float>(i % 41) - 20.0f);
    up.push_back(static_cast<float>(i % 23) - 11.0f);
  }
  std::vector<float> out = up;
  activate_gated(mlp, gate.data(), out.data(), static_cast<int64_t>(out.size()), out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const double g = std::min(static_cast<double>(gate[i]), 7.0), u = std::clamp(static_cast<double>(up[i]), -7.0, 7.0);
    const double expected = g / (1 + std::exp(-static_cast<double>(mlp.gate_slope) * g)) * (u + 1);
    // A product of three numbers, of which the sigmoid has some ulps of error; at most 7 * 8.
    EXPECT_NEAR(out[i], expected, 8 * 0x1p-24 * 56) << gate[i] << " " << up[i];
  }
  activate_gated(mlp, gate.data(), &kNan, 1, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
}

TEST_P(ActivationTest, NanStaysNan) {
  float y = 0;
  activate(GetParam(), &kNan, 1, &y);
  EXPECT_TRUE(std::isnan(y));
}

INSTANTIATE_TEST_SUITE_P(All, ActivationTest,
                         ::testing::Values(Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                                           Activation::kRelu, Activation::kReluSquared));

}  // namespace
}  // namespace bitloom
