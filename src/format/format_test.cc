// Values of the formats: the tables of the papers' floating-point page, section 1, and what holds for every format.
#include "format/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format/every_format.h"

namespace bitloom {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

Format find(const std::string& name) {
  const auto format = find_format(name);
  EXPECT_TRUE(format.has_value()) << name;
  return *format;
}

/// Values of the non-negative codes in ascending code order.
std::vector<float> magnitudes(const std::string& name) {
  const Grid grid = grid_of(find(name));
  return {grid.decode.begin(), grid.decode.begin() + (1 << (grid.bits - 1))};
}

TEST(Format, TablesOfThreeToSixBits) {
  EXPECT_THAT(magnitudes("e2m0"), ElementsAreArray({0.0f, 1.0f, 2.0f, 4.0f}));
  EXPECT_THAT(magnitudes("e1m1"), ElementsAreArray({0.0f, 1.0f, 2.0f, 3.0f}));
  EXPECT_THAT(magnitudes("e1m2"), ElementsAreArray({0.0f, .5f, 1.0f, 1.5f, 2.0f, 2.5f, 3.0f, 3.5f}));
  EXPECT_THAT(magnitudes("e2m1"), ElementsAreArray({0.0f, .5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f}));
  EXPECT_THAT(magnitudes("e3m0"), ElementsAreArray({0.0f, .25f, .5f, 1.0f, 2.0f, 4.0f, 8.0f, 16.0f}));
  EXPECT_THAT(magnitudes("e1m3"), ElementsAreArray({0.0f, .25f, .5f, .75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.25f, 2.5f,
                                                    2.75f, 3.0f, 3.25f, 3.5f, 3.75f}));
  EXPECT_THAT(magnitudes("e2m2"), ElementsAreArray({0.0f, .25f, .5f, .75f, 1.0f, 1.25f, 1.5f, 1.75f, 2.0f, 2.5f, 3.0f,
                                                    3.5f, 4.0f, 5.0f, 6.0f, 7.0f}));
  EXPECT_THAT(magnitudes("e3m1"), ElementsAreArray({0.0f, .125f, .25f, .375f, .5f, .75f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f,
                                                    6.0f, 8.0f, 12.0f, 16.0f, 24.0f}));
  EXPECT_THAT(magnitudes("e4m0"), ElementsAreArray({0.0f, 0x1p-6f, 0x1p-5f, 0x1p-4f, 0x1p-3f, 0x1p-2f, 0x1p-1f, 1.0f,
                                                    2.0f, 4.0f, 8.0f, 16.0f, 32.0f, 64.0f, 128.0f, 256.0f}));
  EXPECT_THAT(magnitudes("e2m3"),
              ElementsAreArray({0.0f,   .125f, .25f,   .375f, .5f,    .625f, .75f,  .875f, 1.0f,  1.125f, 1.25f,
                                1.375f, 1.5f,  1.625f, 1.75f, 1.875f, 2.0f,  2.25f, 2.5f,  2.75f, 3.0f,   3.25f,
                                3.5f,   3.75f, 4.0f,   4.5f,  5.0f,   5.5f,  6.0f,  6.5f,  7.0f,  7.5f}));
  EXPECT_THAT(magnitudes("e3m2"),
              ElementsAreArray({0.0f,  .0625f, .125f, .1875f, .25f,  .3125f, .375f, .4375f, .5f,   .625f, .75f,
                                .875f, 1.0f,   1.25f, 1.5f,   1.75f, 2.0f,   2.5f,  3.0f,   3.5f,  4.0f,  5.0f,
                                6.0f,  7.0f,   8.0f,  10.0f,  12.0f, 14.0f,  16.0f, 20.0f,  24.0f, 28.0f}));
  std::vector<float> uniform;
  uniform.reserve(32);
  for (int i = 0; i < 32; ++i) uniform.push_back(static_cast<float>(i) * 0.125f);
  EXPECT_THAT(magnitudes("e1m4"), ElementsAreArray(uniform));
}

TEST(Format, TableOfE4M3Fn) {
  std::vector<float> expected;
  expected.reserve(128);
  for (int i = 0; i < 8; ++i) expected.push_back(static_cast<float>(i) * 0x1p-9f);
  for (const float first :
       {.015625f, .03125f, .0625f, .125f, .25f, .5f, 1.0f, 2.0f, 4.0f, 8.0f, 16.0f, 32.0f, 64.0f, 128.0f, 256.0f}) {
    for (int i = 0; i < 8; ++i) expected.push_back(first + first * static_cast<float>(i) / 8);
  }
  const std::vector<float> values = magnitudes("e4m3fn");
  EXPECT_EQ(expected[0x2A], 0.3125f);
  EXPECT_EQ(expected[0x7E], 448.0f);
  for (size_t code = 0; code < 0x7F; ++code) EXPECT_EQ(values[code], expected[code]) << code;
  EXPECT_TRUE(std::isnan(values[0x7F]));
  EXPECT_TRUE(std::isnan(grid_of(find("e4m3fn")).decode[0xFF]));
}

TEST(Format, EndsOfE5M2) {
  const std::vector<float> values = magnitudes("e5m2-ieee");
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(values[i], static_cast<float>(i) * 0x1p-16f);
  const float top[] = {8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672, 32768, 40960, 49152, 57344};
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(values[0x70 + i], top[i]);
  EXPECT_EQ(values[0x7C], INFINITY);
  EXPECT_EQ(grid_of(find("e5m2-ieee")).decode[0xFC], -INFINITY);
  for (size_t i = 0x7D; i <= 0x7F; ++i) EXPECT_TRUE(std::isnan(values[i]));
}

struct Row {
  const char* name;
  int bias;
  float max, min_normal, max_sub, min_sub;
  int finite;
};

TEST(Format, DerivedConstants) {
  const Row rows[] = {
      {"e4m1", 7, 384, 0x1p-6f, 0x1p-7f, 0x1p-7f, 32},
      {"e2m4", 1, 7.75, 1, 0.9375, 0x1p-4f, 64},
      {"e3m3", 3, 30, 0x1p-2f, 0.21875, 0x1p-5f, 64},
      {"e4m2", 7, 448, 0x1p-6f, 0.01171875, 0x1p-8f, 64},
      {"e5m1", 15, 98304, 0x1p-14f, 0x1p-15f, 0x1p-15f, 64},
      {"e2m5", 1, 7.875, 1, 0.96875, 0x1p-5f, 128},
      {"e3m4", 3, 31, 0x1p-2f, 0.234375, 0x1p-6f, 128},
      {"e3m4-ieee", 3, 15.5, 0x1p-2f, 0.234375, 0x1p-6f, 112},
      {"e4m3", 7, 480, 0x1p-6f, 0.013671875, 0x1p-9f, 128},
      {"e4m3fn", 7, 448, 0x1p-6f, 0.013671875, 0.001953125, 127},
      {"e4m3-ieee", 7, 240, 0x1p-6f, 0.013671875, 0x1p-9f, 120},
      {"e4m3b8", 8, 240, 0x1p-7f, 0.0068359375, 0x1p-10f, 128},
      {"e4m3fnuz", 8, 240, 0x1p-7f, 0.0068359375, 0x1p-10f, 128},
      {"e5m2", 15, 114688, 0x1p-14f, 3 * 0x1p-16f, 0x1p-16f, 128},
      {"e5m2-ieee", 15, 57344, 0x1p-14f, 3 * 0x1p-16f, 1.52587890625e-5f, 124},
  };
  for (const Row& row : rows) {
    const auto f = std::get<MinifloatFormat>(find(row.name));
    EXPECT_EQ(f.bias, row.bias) << row.name;
    const std::vector<float> values = magnitudes(row.name);
    const size_t normal = size_t{1} << f.mantissa;
    EXPECT_EQ(values[static_cast<size_t>(row.finite) - 1], row.max) << row.name;
    EXPECT_EQ(max_value(f), row.max) << row.name;
    EXPECT_EQ(values[normal], row.min_normal) << row.name;
    EXPECT_EQ(values[normal - 1], row.max_sub) << row.name;
    EXPECT_EQ(values[1], row.min_sub) << row.name;
    EXPECT_EQ(std::count_if(values.begin(), values.end(), [](float v) { return std::isfinite(v); }), row.finite)
        << row.name;
  }
}

TEST(Format, Integers) {
  EXPECT_THAT(grid_of(find("int2")).levels, ElementsAreArray({-2.0f, -1.0f, 0.0f, 1.0f}));
  EXPECT_THAT(grid_of(find("int2")).codes, ElementsAreArray({2, 3, 0, 1}));
  EXPECT_THAT(grid_of(find("int2-narrow")).levels, ElementsAreArray({-1.0f, 0.0f, 1.0f}));
  EXPECT_TRUE(std::isnan(grid_of(find("int2-narrow")).decode[2]));
  const Grid element = grid_of(find("int8q6-narrow"));
  EXPECT_EQ(element.levels.back(), 127.0f / 64);
  EXPECT_EQ(element.levels.front(), -127.0f / 64);
}

TEST(Format, ExponentOfOneBitIsNarrowInteger) {
  for (int bits = 3; bits <= 8; ++bits) {
    const Grid minifloat = grid_of(MinifloatFormat{1, bits - 2, 0, Reserve::kNone});
    const Grid integer = grid_of(IntFormat{bits, true});
    ASSERT_EQ(minifloat.levels.size(), integer.levels.size());
    const float unit = minifloat.max_abs / integer.max_abs;
    for (size_t i = 0; i < integer.levels.size(); ++i) EXPECT_EQ(minifloat.levels[i], unit * integer.levels[i]);
    EXPECT_EQ(minifloat.even_is_upper, integer.even_is_upper);
  }
}

TEST(Format, GridsAreConsistent) {
  for (const Format& format : testing::every_format()) {
    const std::string name = name_of(format);
    const Grid grid = grid_of(format);
    ASSERT_EQ(grid.bits, bits_of(format)) << name;
    ASSERT_EQ(grid.decode.size(), size_t{1} << grid.bits) << name;
    ASSERT_EQ(grid.levels.size(), grid.codes.size()) << name;
    ASSERT_EQ(grid.levels.size(), grid.even_is_upper.size() + 1) << name;
    float largest = 0;
    for (size_t i = 0; i < grid.levels.size(); ++i) {
      EXPECT_EQ(grid.decode[grid.codes[i]], grid.levels[i]) << name;
      EXPECT_FALSE(std::signbit(grid.levels[i]) && grid.levels[i] == 0) << name;
      EXPECT_TRUE(i == 0 || grid.levels[i - 1] < grid.levels[i]) << name;
      largest = std::max(largest, std::abs(grid.levels[i]));
    }
    EXPECT_EQ(grid.max_abs, largest) << name;
    // Every finite code is a level, or -0.
    size_t finite = 0;
    for (const float value : grid.decode) finite += std::isfinite(value) ? 1 : 0;
    EXPECT_EQ(finite, grid.levels.size() + (grid.negative_zero >= 0 ? 1 : 0)) << name;
    EXPECT_EQ(limits_of(format).max_exponent, std::ilogb(limits_of(format).max)) << name;
  }
}

TEST(Format, NamesRoundTrip) {
  for (const Format& format : testing::every_format()) {
    const auto found = find_format(name_of(format));
    ASSERT_TRUE(found.has_value()) << name_of(format);
    EXPECT_EQ(*found, format) << name_of(format);
  }
  for (const std::string& name : format_names()) EXPECT_EQ(name_of(find(name)), name);
}

TEST(Format, NamesOfNoFormat) {
  for (const char* name : {"",     "int",  "int1",   "int9",      "int4q4",  "int4-wide", "e0m3",           "e1m0",
                           "e4m4", "e8m0", "e3m0fn", "e1m3-ieee", "e4m3fnu", "e4m3b",     "e4m3b200",       "e4m3b-200",
                           "e4m",  "em3",  "E4M3",   "nf3",       "table",   "e4m3 ",     "e99999999999m1", "fp4"}) {
    EXPECT_FALSE(find_format(name).has_value()) << name;
  }
}

TEST(Format, LevelsOfATableKeepEveryBit) {
  const TableFormat table = make_table({-0.1f, 1.0f / 3, std::nextafter(1.0f / 3, 1.0f), 3.4028235e38f});
  EXPECT_EQ(std::get<TableFormat>(find(TableCodec::name(table))), table);
}

TEST(Format, RefusesTablesThatAreNone) {
  const auto message = [](const char* text) {
    try {
      find_format(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message("table[]"), HasSubstr("\"\" is no fp32 number"));
  EXPECT_THAT(message("table[1;x]"), HasSubstr("\"x\" is no fp32 number"));
  EXPECT_THAT(message("table[1]"), HasSubstr("2 to 256 levels, this one has 1"));
  EXPECT_THAT(message("table[1;1]"), HasSubstr("must ascend; level 1 is 1 after 1"));
  EXPECT_THAT(message("table[0;-0]"), HasSubstr("must ascend"));
  EXPECT_THAT(message("table[-1;nan]"), HasSubstr("level 1 is nan"));
  EXPECT_THAT(message("table[-1;1e39]"), HasSubstr("\"1e39\" is no fp32 number"));
  std::string many = "table[0";
  for (int i = 1; i < 257; ++i) many.append(";").append(std::to_string(i));
  EXPECT_THAT(message(many.append("]").c_str()), HasSubstr("has 257"));
}

}  // namespace
}  // namespace bitloom
