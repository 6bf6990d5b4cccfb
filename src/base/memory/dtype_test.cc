#include "base/memory/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

/// IEEE half by its definition: (-1)^s 2^(e-15) (1 + f/1024), subnormal 2^-14 f/1024, e = 31 Inf or NaN.
float half_by_definition(uint16_t h) {
  const int exponent = (h >> 10) & 31, fraction = h & 1023;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                  : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  if (exponent == 31) magnitude = fraction ? std::numeric_limits<float>::quiet_NaN() : INFINITY;
  return h & 0x8000 ? -magnitude : magnitude;
}

TEST(Dtype, HalfWidensByDefinitionForEveryCode) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float expected = half_by_definition(static_cast<uint16_t>(h)), got = f16_to_f32(static_cast<uint16_t>(h));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got)) << h;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(expected)) << h;
    }
  }
}

TEST(Dtype, HalfAndBf16RoundTripEveryFiniteCode) {
  for (uint32_t code = 0; code < 65536; ++code) {
    const auto narrow = static_cast<uint16_t>(code);
    if (!std::isnan(f16_to_f32(narrow))) {
      EXPECT_EQ(f32_to_f16(f16_to_f32(narrow)), narrow);
    }
    if (!std::isnan(bf16_to_f32(narrow))) {
      EXPECT_EQ(f32_to_bf16(bf16_to_f32(narrow)), narrow);
    }
  }
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(NAN))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
}

/// Between neighbours a < b: below the midpoint gives a, above gives b, on it the even code.
TEST(Dtype, HalfRoundsToNearestEvenAtEveryMidpoint) {
  for (uint16_t code = 0; code < 0x7BFF; ++code) {
    const auto next = static_cast<uint16_t>(code + 1);
    const float middle = (f16_to_f32(code) + f16_to_f32(next)) / 2;  // exact: one bit more than a half has
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, INFINITY)), next);
    EXPECT_EQ(f32_to_f16(middle), code % 2 == 0 ? code : next);
    EXPECT_EQ(f32_to_f16(-middle), 0x8000 | (code % 2 == 0 ? code : next));
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);  // half-way to 2^16: infinity
  EXPECT_EQ(f32_to_f16(1e30f), 0x7C00);
}

TEST(Dtype, Bf16RoundsToNearestEven) {
  for (uint32_t code = 0x3F00; code < 0x4000; ++code) {
    const float middle = std::bit_cast<float>((code << 16) | 0x8000);
    EXPECT_EQ(f32_to_bf16(middle), code % 2 == 0 ? code : code + 1);
    EXPECT_EQ(f32_to_bf16(std::nextafter(middle, 0.0f)), code);
    EXPECT_EQ(f32_to_bf16(std::nextafter(middle, INFINITY)), code + 1);
  }
}

float decode_one(DType dtype, std::vector<uint8_t> bytes, int64_t index = 0) {
  bytes.push_back(0);  // packed dtypes may look one byte ahead
  float out = 0;
  decode_to_f32(dtype, reinterpret_cast<const std::byte*>(bytes.data()), index, 1, &out);
  return out;
}

TEST(Dtype, SmallFloatsHaveTheirPublishedValues) {
  EXPECT_EQ(decode_one(DType::kF8E4M3, {0x7E}), 448.0f);
  EXPECT_EQ(decode_one(DType::kF8E4M3, {0x01}), 0x1p-9f);
  EXPECT_EQ(decode_one(DType::kF8E4M3, {0x2A}), 0.3125f);
  EXPECT_TRUE(std::isnan(decode_one(DType::kF8E4M3, {0xFF})));
  EXPECT_EQ(decode_one(DType::kF8E5M2, {0x7B}), 57344.0f);
  EXPECT_EQ(decode_one(DType::kF8E5M2, {0xFC}), -INFINITY);
  EXPECT_TRUE(std::isnan(decode_one(DType::kF8E5M2, {0x7D})));
  EXPECT_EQ(decode_one(DType::kF8E4M3Fnuz, {0x7F}), 240.0f);
  EXPECT_TRUE(std::isnan(decode_one(DType::kF8E4M3Fnuz, {0x80})));
  EXPECT_EQ(decode_one(DType::kF8E8M0, {0x00}), 0x1p-127f);
  EXPECT_EQ(decode_one(DType::kF8E8M0, {0xFE}), 0x1p127f);
  EXPECT_TRUE(std::isnan(decode_one(DType::kF8E8M0, {0xFF})));
}

TEST(Dtype, PackedElementsAreFoundAtAnyIndex) {
  EXPECT_EQ(decode_one(DType::kF4, {0x7A}, 0), -1.0f);  // low nibble first: 0xA
  EXPECT_EQ(decode_one(DType::kF4, {0x7A}, 1), 6.0f);
  // Four E2M3 codes 1, 2, 31, 63 in three bytes, lowest bits first.
  const uint32_t word = 1u | 2u << 6 | 31u << 12 | 63u << 18;
  const std::vector<uint8_t> bytes = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8),
                                      static_cast<uint8_t>(word >> 16)};
  EXPECT_EQ(decode_one(DType::kF6E2M3, bytes, 0), 0.125f);
  EXPECT_EQ(decode_one(DType::kF6E2M3, bytes, 1), 0.25f);
  EXPECT_EQ(decode_one(DType::kF6E2M3, bytes, 2), 7.5f);
  EXPECT_EQ(decode_one(DType::kF6E2M3, bytes, 3), -7.5f);
}

TEST(Dtype, IntegersKeepTheirSign) {
  EXPECT_EQ(decode_one(DType::kI8, {0x80}), -128.0f);
  EXPECT_EQ(decode_one(DType::kU8, {0x80}), 128.0f);
  EXPECT_EQ(decode_one(DType::kI16, {0xFE, 0xFF}), -2.0f);
}

TEST(Dtype, NamesRoundTripAndComplexIsRefused) {
  for (const DTypeInfo& row : dtype_table()) EXPECT_EQ(dtype_from_name(row.name), row.dtype);
  EXPECT_FALSE(dtype_from_name("F32 ").has_value());
  EXPECT_THROW(decode_one(DType::kC64, std::vector<uint8_t>(8)), Error);
}

TEST(Dtype, FiniteF16StaysWithinTheGreatest) {
  EXPECT_EQ(finite_f16(1e6f), 65504.0f);
  EXPECT_EQ(finite_f16(-65520.0f), -65504.0f);
  EXPECT_EQ(finite_f16(65503.0f), 65504.0f);
  EXPECT_EQ(finite_f16(1.0f + 0x1p-11f), 1.0f);  // a tie, to even
  EXPECT_TRUE(std::isnan(finite_f16(std::nanf(""))));
}

}  // namespace
}  // namespace bitloom
