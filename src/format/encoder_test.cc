// Encoders against the definition, at every middle of neighbouring levels and the floats beside it, for every policy.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "format/every_format.h"
#include "format/format.h"
#include "format/minifloat/cast.h"

namespace bitloom {
namespace {

constexpr Ties kPolicies[] = {Ties::kEven, Ties::kAway, Ties::kTowardZero};
constexpr float kInf = std::numeric_limits<float>::infinity();

uint8_t encode_one(const ArrayEncoder& encoder, float x) {
  uint8_t code;
  encoder.encode(&x, 1, &code);
  return code;
}

/// Levels, middles, their neighbours, the ends of fp32, and magnitudes across the range.
std::vector<float> probes(const Grid& grid) {
  std::vector<float> x = {0.0f, -0.0f, kInf, -kInf, 3.4028235e38f, -3.4028235e38f, 1e-45f, -1e-45f, 1e-38f, -1e-38f};
  const auto add = [&](float v) {
    for (const float y : {v, std::nextafter(v, kInf), std::nextafter(v, -kInf)}) x.push_back(y);
  };
  for (size_t i = 0; i < grid.levels.size(); ++i) {
    add(grid.levels[i]);
    if (i > 0) add(static_cast<float>((static_cast<double>(grid.levels[i]) + grid.levels[i - 1]) / 2));
  }
  std::mt19937 random(7);
  std::uniform_real_distribution<float> exponent(-12, 2), sign(-1, 1);
  for (int i = 0; i < 500; ++i) x.push_back(std::copysign(grid.max_abs * std::exp2(exponent(random)), sign(random)));
  return x;
}

TEST(Encoder, EncodesEveryLevelToItsCode) {
  for (const Format& format : testing::every_format()) {
    const Grid grid = grid_of(format);
    for (const Ties ties : kPolicies) {
      const auto encoder = make_encoder(format, ties);
      for (int code = 0; code < 1 << grid.bits; ++code) {
        const float value = grid.decode[static_cast<size_t>(code)];
        if (!std::isfinite(value)) continue;
        EXPECT_EQ(encode_nearest(grid, value, ties), code) << name_of(format);
        EXPECT_EQ(encode_one(*encoder, value), code) << name_of(format);
      }
    }
  }
}

TEST(Encoder, AgreesWithTheDefinition) {
  for (const Format& format : testing::every_format()) {
    const Grid grid = grid_of(format);
    const std::vector<float> x = probes(grid);
    const int64_t n = static_cast<int64_t>(x.size());
    for (const Ties ties : kPolicies) {
      const auto fast = make_encoder(format, ties), search = make_search_encoder(grid, ties);
      std::vector<uint8_t> codes(x.size()), searched(x.size());
      std::vector<float> snapped(x.size()), search_snapped(x.size());
      fast->encode(x.data(), n, codes.data());
      search->encode(x.data(), n, searched.data());
      fast->snap(x.data(), n, snapped.data());
      search->snap(x.data(), n, search_snapped.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const uint8_t code = encode_nearest(grid, x[i], ties);
        ASSERT_EQ(codes[i], code) << name_of(format) << " " << x[i];
        ASSERT_EQ(searched[i], code) << name_of(format) << " " << x[i];
        ASSERT_EQ(snapped[i], grid.decode[code]) << name_of(format) << " " << x[i];
        ASSERT_EQ(search_snapped[i], grid.decode[code]) << name_of(format) << " " << x[i];
      }
    }
  }
}

/// The definition itself, against the formula on the significand (cast_minifloat) and distances in double.
TEST(Encoder, DefinitionIsNearest) {
  for (const Format& format : testing::every_format()) {
    const Grid grid = grid_of(format);
    for (const float x : probes(grid)) {
      if (std::isinf(x)) continue;
      const float q = grid.decode[encode_nearest(grid, x, Ties::kEven)];
      const double distance = std::abs(static_cast<double>(x) - q);
      for (const float level : grid.levels) {
        ASSERT_LE(distance, std::abs(static_cast<double>(x) - level)) << name_of(format) << " " << x;
      }
    }
  }
}

TEST(Encoder, DefinitionAgreesWithTheSignificandRule) {
  constexpr CastRounding kRounding[] = {CastRounding::kNearestEven, CastRounding::kNearestAway,
                                        CastRounding::kNearestTowardZero};
  for (const MinifloatFormat& format : testing::every_minifloat()) {
    const Grid grid = grid_of(format);
    for (size_t i = 0; i < 3; ++i) {
      for (const float x : probes(grid)) {
        ASSERT_EQ(encode_nearest(grid, x, kPolicies[i]), cast_minifloat(format, x, {kRounding[i]}))
            << MinifloatCodec::name(format) << " " << x;
      }
    }
  }
}

TEST(Encoder, ThresholdsSplitAtTheFirstFloatThatRoundsUp) {
  for (const Format& format : testing::every_format()) {
    const Grid grid = grid_of(format);
    for (const Ties ties : kPolicies) {
      const std::vector<float> thresholds = rounding_thresholds(grid, ties);
      ASSERT_EQ(thresholds.size() + 1, grid.levels.size());
      for (size_t i = 0; i < thresholds.size(); ++i) {
        const float below = std::nextafter(thresholds[i], -kInf);
        EXPECT_EQ(grid.decode[encode_nearest(grid, thresholds[i], ties)], grid.levels[i + 1]) << name_of(format);
        EXPECT_EQ(grid.decode[encode_nearest(grid, below, ties)], grid.levels[i]) << name_of(format);
      }
    }
  }
}

TEST(Encoder, TiesOfIntegersAndTables) {
  const auto snap = [](const char* name, float x, Ties ties) {
    float z;
    make_encoder(*find_format(name), ties)->snap(&x, 1, &z);
    return z;
  };
  EXPECT_EQ(snap("int4", 2.5f, Ties::kEven), 2);
  EXPECT_EQ(snap("int4", -2.5f, Ties::kEven), -2);
  EXPECT_EQ(snap("int4", 3.5f, Ties::kEven), 4);
  EXPECT_EQ(snap("int4", -7.5f, Ties::kEven), -8);
  EXPECT_EQ(snap("int4", 7.5f, Ties::kEven), 7);
  EXPECT_EQ(snap("int4", 2.5f, Ties::kAway), 3);
  EXPECT_EQ(snap("int4", -2.5f, Ties::kAway), -3);
  EXPECT_EQ(snap("int4", 2.5f, Ties::kTowardZero), 2);
  EXPECT_EQ(snap("int4", -3.5f, Ties::kTowardZero), -3);
  // Indices 0, 1, 2: the even one; a middle at zero goes up when away, down when toward zero.
  EXPECT_EQ(snap("table[-1;0;1]", -0.5f, Ties::kEven), -1);
  EXPECT_EQ(snap("table[-1;0;1]", 0.5f, Ties::kEven), 1);
  EXPECT_EQ(snap("table[-1;1]", 0.0f, Ties::kAway), 1);
}

TEST(Encoder, WorksInPlace) {
  for (const char* name : {"int5", "e3m2", "nf4", "int7q2-narrow"}) {
    const Format format = *find_format(name);
    std::vector<float> x = probes(grid_of(format)), z(x.size());
    const auto encoder = make_encoder(format, Ties::kEven);
    encoder->snap(x.data(), static_cast<int64_t>(x.size()), z.data());
    encoder->snap(x.data(), static_cast<int64_t>(x.size()), x.data());
    EXPECT_EQ(x, z) << name;
  }
}

}  // namespace
}  // namespace bitloom
