#include "forward/input_rounder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/side/frame.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<float> round(const std::string& format, std::vector<float> x, int64_t width) {
  ThreadPool threads(2);
  InputRounder(parse_activation_format(format), width)
      .round(x.data(), static_cast<int64_t>(x.size()) / width, width, x.data(), threads);
  return x;
}

// Scales are powers of two here, so every number is exact.
TEST(InputRounder, WhoSharesAScale) {
  const std::vector<float> x = {127, 1.4f, -2.5f, 0.25f, 254, 3, -63.5f, 0.2f};
  EXPECT_THAT(round("int8-token", x, 4), ElementsAre(127, 1, -2, 0, 254, 4, -64, 0));
  EXPECT_THAT(round("int8-tensor", x, 4), ElementsAre(128, 2, -2, 0, 254, 4, -64, 0));
  // The last group of three channels has one.
  const std::vector<float> tail = round("int8-g3", x, 4);
  EXPECT_THAT(std::vector<float>(tail.begin(), tail.begin() + 3), ElementsAre(127, 1, -2));
  EXPECT_FLOAT_EQ(tail[3], 0.25f);
  EXPECT_THAT(round("e2m1-token", {6, 2.4f, -5.1f, 0.7f}, 4), ElementsAre(6, 2, -6, 0.5f));
}

// s = (10 - -5) / 15, z = 5: codes 0 to 15. Of one sign only, the range still begins at 0.
TEST(InputRounder, ZeroPoints) {
  EXPECT_THAT(round("int4-asym-token", {-5, 10, 2.5f, 3.5f, 0.4f}, 5), ElementsAre(-5, 10, 2, 4, 0));
  EXPECT_THAT(round("int4-asym-token", {30, 15, 2, 0.5f, 20}, 5), ElementsAre(30, 16, 2, 0, 20));
  EXPECT_THAT(round("int4-asym-token", {-15, -8.4f, -0.5f, -1.5f, -3}, 5), ElementsAre(-15, -8, 0, -2, -3));
  EXPECT_THAT(round("int8-asym-g2", {0, 0, 255, 1.5f}, 4), ElementsAre(0, 0, 255, 2));
  // Zero stays zero whatever the range.
  EXPECT_EQ(round("int3-asym-token", {-0.37f, 0, 1.9f}, 3)[1], 0);
}

// s = 0.5 * 14 / 7 of int4: what lies beyond becomes the outermost level of its side.
TEST(InputRounder, ClippedRanges) {
  EXPECT_THAT(round("int4-token-clip0.5", {14, -14, 2.4f, -7.6f}, 4), ElementsAre(7, -8, 2, -8));
  EXPECT_THAT(round("int4-asym-token-clip0.5", {-10, 20, 2.4f, -3.2f}, 4), ElementsAre(-5, 10, 2, -3));
  EXPECT_THAT(round("e2m1-token-clip0.5", {12, -9, 2.4f, 0}, 4), ElementsAre(6, -6, 2, 0));
  EXPECT_EQ(round("int4-token-clip1", {14, -3, 5, 1}, 4), round("int4-token", {14, -3, 5, 1}, 4));
  const auto keeps = [](const char* text) { return InputRounder(parse_activation_format(text)).has_token_scales(); };
  EXPECT_TRUE(keeps("int4-token-clip0.9"));
  EXPECT_TRUE(keeps("int8-narrow-token-clip0.9"));
  EXPECT_FALSE(keeps("int8-token-clip0.9"));  // -128 is one more than 8-bit kernels keep
}

// One range for all: values beyond it become the outermost levels, rows do not see each other.
TEST(InputRounder, RangesFoundBeforehand) {
  EXPECT_THAT(round("int8-tensor-at[127]", {1.4f, -126.6f, 300, -300, 2.5f, 0}, 2),
              ElementsAre(1, -127, 127, -128, 2, 0));
  EXPECT_THAT(round("e4m3fn-tensor-at[448]", {17, 1e6f, -1e6f, 0.3f}, 4), ElementsAre(16, 448, -448, 0.3125f));
  EXPECT_THAT(round("int4-asym-tensor-at[-5;10]", {-7, 12, 2.5f, -0.6f}, 2), ElementsAre(-5, 10, 2, -1));
  const std::vector<float> lost = round("int8-tensor-at[127]", {1, INFINITY, 3, 4}, 2);
  EXPECT_TRUE(std::isnan(lost[0]) && std::isnan(lost[1]));
  EXPECT_EQ(lost[2], 3.0f);
}

// A channel's levels lie 2^b closer, and its range ends 2^b earlier.
TEST(InputRounder, ShiftedChannels) {
  const std::string format = "e2m1-tensor-at[6]-shift[013]";
  EXPECT_THAT(round(format, {0.7f, 0.7f, 0.7f, 6, 6, 6, -0.2f, -0.2f, -0.2f}, 3),
              ElementsAre(0.5f, 0.75f, 0.75f, 6, 3, 0.75f, 0, -0.25f, -0.1875f));
  const std::vector<float> lost = round(format, {1, NAN, 3, 4, 2, 0.5f}, 3);
  EXPECT_TRUE(std::isnan(lost[0]) && std::isnan(lost[1]) && std::isnan(lost[2]));
  EXPECT_EQ(std::vector<float>(lost.begin() + 3, lost.end()), (std::vector<float>{4, 2, 0.5f}));
}

std::vector<float> block_of(const std::string& format, std::vector<float> x, size_t shown) {
  x.resize(32);
  std::vector<float> rounded = round(format, x, 32);
  rounded.resize(shown);
  return rounded;
}

// The floating-point page, 3.3: one block, every element format.
TEST(InputRounder, MicroscalingBlocks) {
  const std::vector<float> v = {1, -2, 0.3f, 7, -0.1f, 0, 3.3f, -5.1f};
  EXPECT_THAT(block_of("mxfp4", v, 8), ElementsAre(1, -2, 0.5f, 6, 0, 0, 3, -6));
  EXPECT_THAT(block_of("mxfp4-rceil", v, 8), ElementsAre(1, -2, 0, 8, 0, 0, 3, -6));
  EXPECT_THAT(block_of("mxfp6e2m3", v, 8), ElementsAre(1, -2, 0.25f, 7, -0.125f, 0, 3.25f, -5));
  EXPECT_THAT(block_of("mxfp6e3m2", v, 8), ElementsAre(1, -2, 0.3125f, 7, -0.09375f, 0, 3.5f, -5));
  EXPECT_THAT(block_of("mxfp8e4m3", v, 8), ElementsAre(1, -2, 0.3125f, 7, -0.1015625f, 0, 3.25f, -5));
  EXPECT_THAT(block_of("mxfp8e5m2", v, 8), ElementsAre(1, -2, 0.3125f, 7, -0.09375f, 0, 3.5f, -5));
  EXPECT_THAT(block_of("mxint8", v, 8), ElementsAre(1, -2, 0.3125f, 7, -0.125f, 0, 3.3125f, -5.125f));
}

// A block's scale is a power of two down to 2^-127, which is no normal number of fp32; blocks do not see each other.
TEST(InputRounder, MicroscalingScales) {
  EXPECT_THAT(block_of("mxfp4", {0x1p-127f, -0x1p-126f}, 2), ElementsAre(0x1p-127f, -0x1p-126f));
  EXPECT_THAT(block_of("mxfp4", {0, 0}, 2), ElementsAre(0, 0));
  // log2 of the first in fp32 is 3: by bits it is below.
  EXPECT_THAT(block_of("mxfp4", {8 - 0x1p-21f, 1.5f}, 2), ElementsAre(6, 1.5f));
  std::vector<float> two(64, 1.0f);
  two[5] = INFINITY;
  const std::vector<float> rounded = round("mxfp4", two, 64);
  EXPECT_TRUE(std::isnan(rounded[0]) && std::isnan(rounded[31]));
  EXPECT_EQ(rounded[32], 1.0f);
}

// The page, 4.4: the outer scale is 1 where the greatest value is 2688, or where calibration said so.
TEST(InputRounder, TwoLevelScales) {
  std::vector<float> x = {21, -10.5f, 7, 1.75f, 0.8749f};
  x.resize(16);
  x.push_back(10), x.resize(32);
  x.push_back(11), x.resize(48);
  const std::vector<float> fixed = round("nvfp4-at[2688]", x, 48);
  EXPECT_THAT(std::vector<float>(fixed.begin(), fixed.begin() + 5), ElementsAre(21, -10.5f, 7, 1.75f, 0));
  EXPECT_EQ(fixed[16], 9.75f);  // 1.66667 becomes the scale 1.625, and 6 is the last level
  EXPECT_EQ(fixed[32], 11.25f);
  x[40] = 0, x.push_back(2688), x.resize(64);
  const std::vector<float> dynamic = round("nvfp4", x, 64);
  EXPECT_EQ(std::vector<float>(dynamic.begin(), dynamic.begin() + 48), fixed);
  EXPECT_EQ(dynamic[48], 2688);
  EXPECT_THAT(round("nvfp4", std::vector<float>(16), 16), ::testing::Each(0.0f));
}

std::vector<float> waves(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i));
  return x;
}

// Q^T r(Q x), Q that of a frame; 96 channels have blocks of 32.
void expect_those_of_a_frame(int64_t block, const std::string& word) {
  const int64_t width = 96;
  const std::vector<float> x = waves(3 * width);
  for (const std::string format : {"int4-token", "int8-asym-g8", "e2m1-tensor", "nvfp4", "int4-tensor-at[2]"}) {
    const BlockRotation q = in_rotation(FrameStorage{.in_block = block, .seed = 5}, width);
    std::vector<float> expected = x;
    for (int64_t row = 0; row < 3; ++row) q.rotate(expected.data() + row * width, 0, width, 1);
    expected = round(format, expected, width);
    const std::vector<float> inside = expected;
    for (int64_t row = 0; row < 3; ++row) q.rotate_back(expected.data() + row * width, 0, width, 1);
    EXPECT_EQ(round(format + word + "-seed5", x, width), expected) << format;

    ThreadPool threads(2);
    std::vector<float> out(x.size()), scales(3);
    const InputRounder rounder(parse_activation_format(format + word + "-seed5"), width);
    EXPECT_EQ(rounder.has_token_scales(), format == "int4-token") << format;
    rounder.round(x.data(), 3, width, out.data(), threads, scales.data(), InputRounder::Coordinates::kRotated);
    EXPECT_EQ(out, inside) << format;
    if (format == "e2m1-tensor") continue;  // rows see each other
    for (int64_t row = 0; row < 3; ++row) rounder.round_row(x.data() + row * width, width, out.data() + row * width);
    EXPECT_EQ(out, expected) << format;
  }
}

TEST(InputRounder, RotationsAreThoseOfAFrame) {
  expect_those_of_a_frame(64, "-had64");
  expect_those_of_a_frame(kWholeWidth, "-hadfull");
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// The large channel of four lies in two slots with half of its values each, so the scale is half as great; 0 and 1 are
// one.
TEST(InputRounder, ReassembledChannels) {
  const std::string format = "int8-token-reassembled[1>0=2]";
  EXPECT_THAT(round(format, {3, 4, 254, -5.2f}, 4), ElementsAre(4, 127, 127, -5));
  const InputRounder rounder(parse_activation_format(format), 4);
  std::vector<float> row = {3, 4, 254, -5.2f}, out(4);
  rounder.round_row(row.data(), 4, out.data());
  EXPECT_THAT(out, ElementsAre(4, 127, 127, -5));
  EXPECT_THAT(row, ElementsAre(3, 4, 254, -5.2f));
  EXPECT_TRUE(rounder.has_token_scales());
  ThreadPool threads(2);
  std::vector<float> scales(1);
  rounder.round(row.data(), 1, 4, out.data(), threads, scales.data());
  EXPECT_EQ(scales[0], 1);
}

// Channel 2 lies in 1 and 2: a quarter of a step down in its own slot, and up in the other. 5 is 2 + 3, as if it were
// whole; parts that are rounded alike make 4 of it. The range is that of the values as they are.
TEST(InputRounder, StaggeredParts) {
  EXPECT_THAT(round("int8-token-staggered[1>0=2]", {3, 4, 5, -127}, 4), ElementsAre(4, 3, 2, -127));
  EXPECT_THAT(round("int8-token-reassembled[1>0=2]", {3, 4, 5, -127}, 4), ElementsAre(4, 2, 2, -127));
  EXPECT_THAT(round("int8-token-staggered[1>0=2]", {3, 4, 254, -3}, 4), ElementsAre(4, 127, 127, -3));
  EXPECT_THAT(round("int8-token-staggered[1>0=2]", {3, 4, 0, -127}, 4), ElementsAre(4, 0, 0, -127));
  // A range of 255 steps from -127 to 128.
  EXPECT_THAT(round("int8-asym-token-staggered[1>0=2]", {256, 0, 5, -127}, 4), ElementsAre(128, 3, 2, -127));
  // Levels half a scale apart: 1.25 is two and a half of them, and the parts are two and three.
  EXPECT_THAT(round("int4q1-token-staggered[1>0=2]", {1, 1, 2.5f, -3.5f}, 4), ElementsAre(1, 1.5f, 1, -3.5f));
  // Groups of two with scales of their own, 1 and 2: 5 is 3 of the one, and 2 of the other.
  EXPECT_THAT(round("int8-g2-staggered[1>0=2]", {-127, -127, 5, 254}, 4), ElementsAre(-127, 3, 2, 254));
  const InputRounder rounder(parse_activation_format("int8-token-staggered[1>0=2]"), 4);
  std::vector<float> row = {3, 4, 5, -127}, out(4);
  rounder.round_row(row.data(), 4, out.data());
  EXPECT_THAT(out, ElementsAre(4, 3, 2, -127));
  EXPECT_TRUE(rounder.has_token_scales());
}

// One channel of 512 is a hundred times the others: all of these round to 0 beside it, and a rotation spreads it.
TEST(InputRounder, RotationsSpreadOutliers) {
  std::vector<float> x = waves(512);
  x[77] = 100;
  EXPECT_LT(squared_error(round("int4-token-had512", x, 512), x), squared_error(round("int4-token", x, 512), x) / 3);
  // Of 576 = 9 x 64 channels blocks spread it over 64, the whole width over all.
  x.resize(576);
  EXPECT_LT(squared_error(round("int4-token-hadfull", x, 576), x),
            squared_error(round("int4-token-had4096", x, 576), x) / 2);
}

TEST(InputRounder, WantsARange) { EXPECT_THROW(InputRounder(parse_activation_format("int8-tensor-mse")), Error); }

TEST(InputRounder, NothingIsNothing) {
  EXPECT_THAT(round("int8-token", {0, -0.0f, 127, 1}, 2), ElementsAre(0, 0, 127, 1));
  // A scale that is no normal number: the values are lost.
  EXPECT_THAT(round("int8-token", {1e-37f, -1e-37f}, 2), ElementsAre(0, 0));
}

TEST(InputRounder, WhatIsNotFiniteShows) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), NAN}) {
    const std::vector<float> rounded = round("int8-token", {1, bad, 127, 1}, 2);
    EXPECT_TRUE(std::isnan(rounded[0]) && std::isnan(rounded[1]));
    EXPECT_EQ(rounded[2], 127.0f);
    EXPECT_EQ(rounded[3], 1.0f);
  }
}

// The loop of integers against dividing, rounding and multiplying one after another: numbers around every tie, under
// scales of any significand, and small ones.
TEST(InputRounder, IntegersAreThoseOfTheirEncoder) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> significand(1, 2), anywhere(-140, 140);
  std::uniform_int_distribution<int> exponent(-126, 100);
  const auto bits_of = [](const std::vector<float>& x) {
    std::vector<uint32_t> bits;
    for (const float value : x) bits.push_back(std::bit_cast<uint32_t>(value));
    return bits;
  };
  ThreadPool threads(1);
  for (const std::string text : {"int8-token", "int8-narrow-token-clip0.9", "int4-token-clip0.9", "int2-token"}) {
    const ActivationFormat format = parse_activation_format(text);
    const InputRounder fast(format), plain(format, make_encoder(format.format, Ties::kEven));
    for (int trial = 0; trial < 300; ++trial) {
      const float greatest = std::ldexp(significand(random), exponent(random));  // whose scale is the token's
      float step = 0, rounded = 0;
      plain.round(&greatest, 1, 1, &rounded, threads, &step);
      std::vector<float> x = {greatest, 0.0f, -0.0f, std::numeric_limits<float>::denorm_min(), -greatest};
      for (int tie = -128; tie < 128; ++tie) {
        const float middle = (static_cast<float>(tie) + 0.5f) * step;
        if (!(std::abs(middle) < greatest)) continue;
        for (const float to : {-INFINITY, INFINITY}) {
          float value = middle;
          for (int i = 0; i < 3; ++i) x.push_back(value), value = std::nextafter(value, to);
        }
      }
      for (int i = 0; i < 100; ++i) x.push_back(std::clamp(anywhere(random) * step, -greatest, greatest));
      std::vector<float> quick(x.size()), slow(x.size());
      fast.round_row(x.data(), std::ssize(x), quick.data());
      plain.round_row(x.data(), std::ssize(x), slow.data());
      ASSERT_EQ(bits_of(quick), bits_of(slow)) << text << " " << greatest;
    }
  }
}

TEST(InputRounder, AnyNumberOfThreadsGivesTheSameBytes) {
  const std::vector<float> x = waves(100 * 36);
  for (const char* text :
       {"int8-token", "e4m3fn-tensor", "int4-g16", "int4-asym-tensor", "mxfp6e2m3", "nvfp4", "e2m1-tensor-had4"}) {
    const InputRounder rounder(parse_activation_format(text), 36);
    std::vector<float> one(x.size()), three(x.size());
    ThreadPool single(1), many(3);
    rounder.round(x.data(), 100, 36, one.data(), single);
    rounder.round(x.data(), 100, 36, three.data(), many);
    EXPECT_EQ(one, three) << text;
    EXPECT_NE(one, x) << text;
  }
}

// Straight through, but beyond what the levels cover.
TEST(InputRounder, GradientsStopAtTheRange) {
  ThreadPool threads(1);
  const std::vector<float> x = {0.5f,   1.5f, -2, 1,
                                -0.25f, 4,    0,  -1};  // the lowest level of int4 is -8/7 of the greatest
  const auto passed = [&](const std::string& format) {
    std::vector<float> dx = {1, 2, 3, 4, 5, 6, 7, 8};
    InputRounder(parse_activation_format(format), 4).round_adjoint(x.data(), 2, 4, dx.data(), threads);
    return dx;
  };
  using Row = std::vector<float>;
  EXPECT_EQ(passed("int4-token"), (Row{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(passed("int4-tensor-at[1.5]"), (Row{1, 2, 0, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-tensor-at[1.8]"), (Row{1, 2, 3, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-narrow-tensor-at[1.8]"), (Row{1, 2, 0, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-token-clip0.9"), (Row{1, 2, 3, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("e2m1-token-clip0.9"), (Row{1, 2, 0, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-asym-tensor-at[-0.5;1]"), (Row{1, 0, 0, 4, 5, 0, 7, 0}));
  EXPECT_EQ(passed("int4-token-clip0.75"), (Row{1, 2, 0, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-tensor-clip0.5"), (Row{1, 2, 3, 4, 5, 0, 7, 8}));
  EXPECT_EQ(passed("int4-g2-clip0.5"), (Row{1, 0, 0, 4, 5, 0, 7, 0}));
  EXPECT_EQ(passed("int4-asym-token-clip0.5"), (Row{1, 0, 0, 0, 5, 0, 7, 0}));
}

// Where rows are rotated, so are their gradients: those of clipped coordinates are lost, and no others.
TEST(InputRounder, GradientsStopInRotatedCoordinates) {
  ThreadPool threads(1);
  const int64_t width = 8;
  std::vector<float> x(8), dx(8);
  for (size_t i = 0; i < 8; ++i) x[i] = static_cast<float>(i * i) / 8 - 3, dx[i] = static_cast<float>(i) - 2.5f;
  const BlockRotation rotation = in_rotation(FrameStorage{.in_block = 8, .seed = 5}, width);
  std::vector<float> turned = x, expected = dx;
  rotation.rotate(turned.data(), 0, width, 1);
  rotation.rotate(expected.data(), 0, width, 1);
  float most = 0;
  for (const float value : turned) most = std::max(most, std::abs(value));
  int clipped = 0;
  for (size_t i = 0; i < 8; ++i) {
    if (std::abs(turned[i]) > 0.75f * most) expected[i] = 0, ++clipped;
  }
  ASSERT_GT(clipped, 0);
  rotation.rotate_back(expected.data(), 0, width, 1);
  const InputRounder rounder(parse_activation_format("int4-token-had8-seed5-clip0.75"), width);
  rounder.round_adjoint(x.data(), 1, width, dx.data(), threads);
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(dx[i], expected[i], 1e-6) << i;
}

}  // namespace
}  // namespace bitloom
