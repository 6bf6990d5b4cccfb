#include "format/scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "format/format.h"
#include "format/minifloat/cast.h"

namespace bitloom {
namespace {

constexpr MxMode kModes[] = {MxMode::kFloor, MxMode::kCeil, MxMode::kRceil, MxMode::kEven};

FormatLimits limits(const char* name) { return limits_of(*find_format(name)); }

// The papers' floating-point page, 3.3.
TEST(Scale, MxExponents) {
  const struct {
    float amax;
    int e2m1[4], e4m3[4];
  } rows[] = {
      {1.0f, {-2, -2, -2, -2}, {-8, -8, -8, -8}},
      {1.25f, {-2, -1, -2, -2}, {-8, -7, -8, -8}},
      {1.5f, {-2, -1, -2, -2}, {-8, -7, -8, -8}},
      {1.500001f, {-2, -1, -1, -2}, {-8, -7, -8, -8}},
      {1.75f, {-2, -1, -1, -1}, {-8, -7, -8, -8}},
      {1.7500001f, {-2, -1, -1, -1}, {-8, -7, -7, -8}},
      {1.9999999f, {-2, -1, -1, -1}, {-8, -7, -7, -7}},
      {6.0f, {0, 1, 0, 0}, {-6, -5, -6, -6}},
      {7.0f, {0, 1, 1, 1}, {-6, -5, -6, -6}},
      {448.0f, {6, 7, 7, 7}, {0, 1, 0, 0}},
      {449.0f, {6, 7, 7, 7}, {0, 1, 1, 0}},
  };
  for (const auto& row : rows) {
    for (int mode = 0; mode < 4; ++mode) {
      EXPECT_EQ(mx_exponent(row.amax, kModes[mode], limits("e2m1")), row.e2m1[mode]) << row.amax << " " << mode;
      EXPECT_EQ(mx_exponent(row.amax, kModes[mode], limits("e4m3fn")), row.e4m3[mode]) << row.amax << " " << mode;
    }
  }
}

TEST(Scale, MxFloorIsNotFooledBelowAPowerOfTwo) {
  EXPECT_EQ(mx_exponent(8 - 0x1p-21f, MxMode::kFloor, limits("e2m1")), 0);
  EXPECT_EQ(mx_exponent(8, MxMode::kFloor, limits("e2m1")), 1);
}

TEST(Scale, MxExponentsStayInRange) {
  for (const MxMode mode : kModes) {
    EXPECT_EQ(mx_exponent(1e-45f, mode, limits("e2m1")), -127);
    EXPECT_EQ(mx_exponent(0x1p-126f, mode, limits("e4m3fn")), -127);
    EXPECT_LE(mx_exponent(3.4028235e38f, mode, limits("int8q6-narrow")), 127);
  }
}

TEST(Scale, MxExponentOfMxint8) { EXPECT_EQ(mx_exponent(7, MxMode::kFloor, limits("int8q6-narrow")), 2); }

TEST(Scale, Log2IsExact) {
  for (int e = -149; e <= 127; ++e) {
    const float power = std::ldexp(1.0f, e);
    EXPECT_EQ(floor_log2(power), e);
    EXPECT_EQ(ceil_log2(power), e);
    if (e > -126) {
      EXPECT_EQ(floor_log2(std::nextafter(power, 0.0f)), e - 1);
      EXPECT_EQ(ceil_log2(std::nextafter(power, INFINITY)), e + 1);
    }
  }
}

constexpr ScaleType kTypes[] = {ScaleType::kF32, ScaleType::kF16, ScaleType::kBF16, ScaleType::kE8M0,
                                ScaleType::kE4M3TwoLevel};

TEST(Scale, RoundedScalesAreStoredExactly) {
  for (const ScaleType type : kTypes) {
    for (float wanted = 1e-44f; wanted < 1e38f; wanted *= 1.37f) {
      const float scale = round_scale(type, wanted, 6);
      ASSERT_GT(scale, 0) << wanted;
      ASSERT_TRUE(std::isfinite(scale * 6)) << wanted;
      std::vector<std::byte> bytes(12);
      store_scale(type, scale, bytes.data(), 2);
      float back;
      load_scales(type, bytes.data(), 2, 1, &back);
      ASSERT_EQ(back, scale) << wanted;
      ASSERT_EQ(round_scale(type, scale, 6), scale) << wanted;
    }
  }
}

TEST(Scale, RoundsToNearest) {
  EXPECT_EQ(round_scale(ScaleType::kF16, 1.0f + 0x1p-11f, 7), 1.0f);
  EXPECT_EQ(round_scale(ScaleType::kF16, 1.0f + 0x1.8p-11f, 7), 1.0f + 0x1p-10f);
  EXPECT_EQ(round_scale(ScaleType::kBF16, 1.0f + 0x1.8p-8f, 7), 1.0f + 0x1p-7f);
  EXPECT_EQ(round_scale(ScaleType::kF32, 0.1f, 7), 0.1f);
  EXPECT_EQ(round_scale(ScaleType::kE8M0, 0.75f, 7), 1.0f);
  EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, 3.5f, 6), 3.5f);
  EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, 1.66667f, 6), 1.625f);
}

TEST(Scale, E4M3AgreesWithTheCast) {
  for (int code = 1; code < 0x7E; ++code) {
    const float a = decode_minifloat(kE4M3Fn, static_cast<uint8_t>(code));
    const float b = decode_minifloat(kE4M3Fn, static_cast<uint8_t>(code + 1)), middle = (a + b) / 2;
    for (const float x : {a, std::nextafter(a, b), std::nextafter(middle, a), middle, std::nextafter(middle, b)}) {
      EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, x, 6), decode_minifloat(kE4M3Fn, cast_minifloat(kE4M3Fn, x)))
          << x;
    }
  }
}

TEST(Scale, EndsOfTypes) {
  const float huge = std::numeric_limits<float>::max();
  EXPECT_EQ(round_scale(ScaleType::kF16, 1e9f, 7), 65504.0f);
  EXPECT_EQ(round_scale(ScaleType::kF16, 1e-12f, 7), 0x1p-24f);
  EXPECT_EQ(round_scale(ScaleType::kF16, 1.01f * 0x1p-24f, 7), 0x1p-23f);  // up: subnormals must not clip the group
  EXPECT_EQ(round_scale(ScaleType::kF32, 1e-45f, 7), 0x1p-126f);
  EXPECT_EQ(round_scale(ScaleType::kBF16, 1e-45f, 7), 0x1p-126f);
  EXPECT_TRUE(std::isfinite(round_scale(ScaleType::kBF16, huge, 1)));
  EXPECT_TRUE(std::isfinite(round_scale(ScaleType::kBF16, huge, 3) * 3));
  EXPECT_TRUE(std::isfinite(round_scale(ScaleType::kE8M0, huge, 6) * 6));
  EXPECT_EQ(round_scale(ScaleType::kE8M0, 1e-45f, 6), 0x1p-127f);
  EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, 0, 6), 0x1p-9f);
  EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, 0, 6, BlockScaleFloor::kNormal), 0x1p-6f);
  EXPECT_EQ(round_scale(ScaleType::kE4M3TwoLevel, 1e9f, 6), 448.0f);
}

TEST(Scale, E8m0ByteZeroIsNoZero) {
  std::byte byte;
  store_scale(ScaleType::kE8M0, 0, &byte, 0);
  EXPECT_EQ(byte, std::byte{0});
  float back;
  load_scales(ScaleType::kE8M0, &byte, 0, 1, &back);
  EXPECT_EQ(back, 0x1p-127f);  // a subnormal: would be 0 where denormals are flushed
  byte = std::byte{255};
  load_scales(ScaleType::kE8M0, &byte, 0, 1, &back);
  EXPECT_TRUE(std::isnan(back));
}

TEST(Scale, TensorScale) {
  EXPECT_EQ(round_tensor_scale(0, 6), 1.0f);
  EXPECT_EQ(round_tensor_scale(1.0f, 6), 1.0f);
  EXPECT_EQ(round_tensor_scale(1e-45f, 6), 0x1p-126f);
  EXPECT_TRUE(std::isfinite(round_tensor_scale(INFINITY, 6) * 6 * 448));
}

}  // namespace
}  // namespace bitloom
