// Rounding and overflow vectors of the papers' floating-point page, sections 1, 2 and 5.5.
#include "format/minifloat/cast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

MinifloatFormat find(const char* name) { return *MinifloatCodec::find(name); }

struct Vector {
  float in, out;
  int code = -1;
};

void expect_vectors(const char* name, const std::vector<Vector>& vectors, const CastPolicy& policy = {}) {
  const MinifloatFormat format = find(name);
  for (const Vector& v : vectors) {
    const uint8_t code = cast_minifloat(format, v.in, policy), negative = cast_minifloat(format, -v.in, policy);
    EXPECT_EQ(decode_minifloat(format, code), v.out) << name << " " << v.in;
    EXPECT_EQ(decode_minifloat(format, negative), -v.out) << name << " " << -v.in;
    EXPECT_TRUE(v.code < 0 || code == v.code) << name << " " << v.in << " " << int{code};
  }
}

TEST(Cast, NearestEvenSaturating) {
  expect_vectors("e2m1", {{.25f, 0, 0},
                          {.2500001f, .5f, 1},
                          {.75f, 1, 2},
                          {1.25f, 1, 2},
                          {1.75f, 2, 4},
                          {2.5f, 2, 4},
                          {3.5f, 4, 6},
                          {5, 4, 6},
                          {5.0001f, 6, 7},
                          {100, 6, 7}});
  expect_vectors("e3m0", {{.125f, 0}, {.375f, .5f}, {.75f, 1}, {1.5f, 2}, {3, 4}, {12, 16}, {40, 16}});
  expect_vectors("e2m3", {{.0625f, 0},
                          {.1875f, .25f},
                          {.9375f, 1},
                          {1.0625f, 1},
                          {1.9375f, 2},
                          {2.125f, 2},
                          {3.875f, 4},
                          {4.25f, 4},
                          {7.25f, 7},
                          {7.75f, 7.5f},
                          {9, 7.5f}});
  expect_vectors("e3m2", {{.03125f, 0},
                          {.09375f, .125f},
                          {.21875f, .25f},
                          {.46875f, .5f},
                          {.5625f, .5f},
                          {1.125f, 1},
                          {3.25f, 3},
                          {15, 16},
                          {18, 16},
                          {26, 24},
                          {31, 28}});
  expect_vectors("e4m3fn", {{0x1p-10f, 0},
                            {1.5f * 0x1p-10f, 0x1p-9f, 0x01},
                            {1.5f * 0x1p-9f, 0x1p-8f, 0x02},
                            {.0146484375f, .015625f, 0x08},
                            {.3f, .3125f, 0x2A},
                            {1.0625f, 1, 0x38},
                            {1.1875f, 1.25f, 0x3A},
                            {17, 16, 0x58},
                            {248, 256, 0x78},
                            {432, 448, 0x7E},
                            {464, 448, 0x7E},
                            {465, 448}});
  expect_vectors("e5m2-ieee", {{0x1p-17f, 0},
                               {1.5f * 0x1p-17f, 0x1p-16f, 0x01},
                               {.3f, .3125f, 0x35},
                               {1.125f, 1, 0x3C},
                               {1.375f, 1.5f, 0x3E},
                               {53248, 49152, 0x7A},
                               {57344, 57344, 0x7B},
                               {61439, 57344},
                               {61440, 57344},
                               {65536, 57344}});
}

TEST(Cast, NearestAway) {
  expect_vectors("e2m1", {{.25f, .5f}, {.75f, 1}, {1.25f, 1.5f}, {1.75f, 2}, {2.5f, 3}, {3.5f, 4}, {5, 6}},
                 {CastRounding::kNearestAway});
  // qtorch, which has no reserved codes.
  expect_vectors("e4m3", {{1.0625f, 1.125f}, {464, 480}, {500, 480}, {1e6f, 480}}, {CastRounding::kNearestAway});
  expect_vectors("e5m2", {{61440, 65536}, {2e5f, 114688}}, {CastRounding::kNearestAway});
  expect_vectors("e3m0", {{.125f, .25f}, {.375f, .5f}, {1.5f, 2}}, {CastRounding::kNearestAway});
}

TEST(Cast, NearestTowardZeroAndTruncate) {
  expect_vectors("e2m1", {{.25f, 0}, {.75f, .5f}, {1.25f, 1}, {2.5f, 2}, {3.5f, 3}, {5, 4}, {5.0001f, 6}},
                 {CastRounding::kNearestTowardZero});
  expect_vectors("e2m1", {{.4999f, 0}, {.9999f, .5f}, {5.9999f, 4}, {6, 6}, {7, 6}, {1.9999f, 1.5f}},
                 {CastRounding::kTruncate});
}

TEST(Cast, OverflowWithoutSaturation) {
  const CastPolicy loose{CastRounding::kNearestEven, Overflow::kNonSaturate};
  expect_vectors("e4m3fn", {{448, 448}, {464, 448, 0x7E}}, loose);
  for (const float x : {464.0001f, 465.0f, 1e30f, kInf}) {
    EXPECT_EQ(cast_minifloat(find("e4m3fn"), x, loose), 0x7F);
    EXPECT_EQ(cast_minifloat(find("e4m3fn"), -x, loose), 0xFF);
  }
  expect_vectors("e5m2-ieee", {{61439, 57344}, {61440, kInf, 0x7C}, {65536, kInf}, {kInf, kInf}}, loose);
  EXPECT_EQ(cast_minifloat(find("e4m3fnuz"), 1e9f, loose), 0x80);
  // Nothing to overflow to: saturates all the same.
  expect_vectors("e2m1", {{100, 6}, {kInf, 6}}, loose);
}

TEST(Cast, InfinitySaturates) {
  expect_vectors("e4m3fn", {{kInf, 448}});
  expect_vectors("e5m2-ieee", {{kInf, 57344}});
}

TEST(Cast, NanStaysNanOrIsRefused) {
  for (const char* name : {"e4m3fn", "e5m2-ieee", "e4m3fnuz", "e4m3-ieee", "e3m2-ieee"}) {
    for (const Overflow overflow : {Overflow::kSaturate, Overflow::kNonSaturate}) {
      const MinifloatFormat format = find(name);
      EXPECT_TRUE(
          std::isnan(decode_minifloat(format, cast_minifloat(format, kNan, {CastRounding::kNearestEven, overflow}))));
      EXPECT_TRUE(
          std::isnan(decode_minifloat(format, cast_minifloat(format, -kNan, {CastRounding::kNearestEven, overflow}))));
    }
  }
  EXPECT_EQ(cast_minifloat(kE2M1, kNan, {CastRounding::kNearestEven, Overflow::kSaturate, true}), 0);
  try {
    cast_minifloat(kE2M1, kNan);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("e2m1 has no code for NaN"));
  }
}

TEST(Cast, SignOfZero) {
  EXPECT_EQ(cast_minifloat(kE2M1, -0.1f), 0x8);
  EXPECT_EQ(cast_minifloat(kE4M3Fn, -0.0f), 0x80);
  EXPECT_EQ(cast_minifloat(find("e4m3fnuz"), -0.0f), 0x00);
  EXPECT_EQ(cast_minifloat(find("e4m3fnuz"), -1e-9f), 0x00);
}

TEST(Cast, StochasticIsUnbiasedAndStaysBetweenNeighbours) {
  Rng rng(1, 2);
  const int n = 40000;
  for (const float x : {1.1f, 2.3f, 5.5f, 0.2f, -4.4f}) {
    double sum = 0;
    for (int i = 0; i < n; ++i) {
      const float z = decode_minifloat(kE2M1, cast_minifloat(kE2M1, x, {CastRounding::kStochastic}, &rng));
      EXPECT_LT(std::abs(z - x), 2.0f);  // the largest step
      sum += z;
    }
    // Bernoulli with step <= 2: standard deviation <= 1 / sqrt n; six of them.
    EXPECT_NEAR(sum / n, x, 6 / std::sqrt(n)) << x;
  }
  EXPECT_EQ(cast_minifloat(kE2M1, 3.0f, {CastRounding::kStochastic}, &rng), 5);  // a level stays
}

TEST(Cast, ShiftsFp4ToFp8) {
  const MinifloatFormat e5m2 = kE5M2Ieee, e4m3 = kE4M3Fn;
  for (int c = 0; c < 16; ++c) {
    const uint8_t code = static_cast<uint8_t>(c);
    const float value = decode_minifloat(kE2M1, code);
    EXPECT_EQ(decode_minifloat(e5m2, shift_e2m1_to_e5m2(code)),
              value * std::exp2(static_cast<float>(kE2M1ToE5M2Exponent)));
    EXPECT_EQ(decode_minifloat(e4m3, shift_e2m1_to_e4m3(code)),
              value * std::exp2(static_cast<float>(kE2M1ToE4M3Exponent)));
    EXPECT_EQ(shift_e2m1_to_e5m2(code), *rescale_code(kE2M1, code, kE2M1ToE5M2Exponent, e5m2));
    EXPECT_EQ(shift_e2m1_to_e4m3(code), *rescale_code(kE2M1, code, kE2M1ToE4M3Exponent, e4m3));
  }
  const int to_e5m2[] = {0x00, 0x38, 0x3C, 0x3E, 0x40, 0x42, 0x44, 0x46};
  const int to_e4m3[] = {0x00, 0x30, 0x38, 0x3C, 0x40, 0x44, 0x48, 0x4C};
  for (int c = 0; c < 8; ++c) {
    EXPECT_EQ(*rescale_code(kE2M1, static_cast<uint8_t>(c), 0, e5m2), to_e5m2[c]);
    EXPECT_EQ(*rescale_code(kE2M1, static_cast<uint8_t>(c), 0, e4m3), to_e4m3[c]);
  }
}

bool all_exact(const MinifloatFormat& from, int k, const MinifloatFormat& to) {
  for (int code = 0; code < 1 << bits_of(from); ++code) {
    if (!rescale_code(from, static_cast<uint8_t>(code), k, to)) return false;
  }
  return true;
}

TEST(Cast, ExactnessLimitsOfRescaling) {
  // value(c) 2^-k is exact for every code for k in [-13, 15] (E5M2), [-6, 8] (E4M3FN); E3M0: see the signs below.
  for (int k = -20; k <= 20; ++k) {
    EXPECT_EQ(all_exact(kE2M1, -k, kE5M2Ieee), k >= -13 && k <= 15) << k;
    EXPECT_EQ(all_exact(kE2M1, -k, kE4M3Fn), k >= -6 && k <= 8) << k;
    EXPECT_EQ(all_exact(find("e3m0"), k, kE5M2Ieee), k >= -14 && k <= 11) << k;
    EXPECT_EQ(all_exact(find("e3m0"), k, kE4M3Fn), k >= -7 && k <= 4) << k;
  }
}

}  // namespace
}  // namespace bitloom
