#include "round/fpq/candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

constexpr MinifloatFormat kE3M0{3, 0, 3, Reserve::kNone}, kE1M2{1, 2, 0, Reserve::kNone},
    kE4M3{4, 3, 7, Reserve::kNone};

// The table of the floating-point page, 0.3.
TEST(FpqCandidates, BiasesOfClipValues) {
  struct Row {
    MinifloatFormat format;
    double at_1, at_tenth, at_20;
  };
  for (const Row& row : {Row{kE3M0, 7.000000, 10.321928, 2.678072}, Row{kE2M1, 3.584963, 6.906891, -0.736966},
                         Row{kE1M2, 1.807355, 5.129283, -2.514573}, Row{kE4M3, 15.906891, 19.228819, 11.584963}}) {
    EXPECT_NEAR(exponent_bias(row.format, 1), row.at_1, 1e-6);
    EXPECT_NEAR(exponent_bias(row.format, 0.1), row.at_tenth, 1e-6);
    EXPECT_NEAR(exponent_bias(row.format, 20), row.at_20, 1e-6);
    EXPECT_NEAR(clip_of_bias(row.format, exponent_bias(row.format, 20)), 20, 1e-12);
  }
}

TEST(FpqCandidates, FormatsOfSoManyBits) {
  EXPECT_EQ(formats_of_bits(4), (std::vector<MinifloatFormat>{kE1M2, kE2M1, kE3M0}));
  std::vector<std::string> names;
  for (const MinifloatFormat& format : formats_of_bits(8)) names.push_back(MinifloatCodec::name(format));
  EXPECT_EQ(names, (std::vector<std::string>{"e1m6", "e2m5", "e3m4", "e4m3", "e5m2"}));
  EXPECT_EQ(formats_of_bits(3).size(), 2u);
}

// Page 8.4's vector, and 8.7's where paper and code differ (the code has 0, 1, 1).
TEST(FpqCandidates, ShiftsOfThePaper) {
  EXPECT_EQ(channel_shifts(kE2M1, 20, std::vector<float>{0.1f, 1, 20}), (std::vector<uint8_t>{3, 3, 0}));
  std::vector<float> absmax;
  for (const double bias : {2.4, 2.6, 3.3}) absmax.push_back(static_cast<float>(clip_of_bias(kE2M1, bias)));
  EXPECT_EQ(channel_shifts(kE2M1, clip_of_bias(kE2M1, 2.4), absmax), (std::vector<uint8_t>{0, 0, 1}));
  // At most 2^X - 1; a channel of zeros stays.
  const std::vector<float> small{1e-6f, 0, 40};
  EXPECT_EQ(channel_shifts(kE3M0, 20, small), (std::vector<uint8_t>{7, 0, 0}));
  EXPECT_EQ(channel_shifts(kE1M2, 20, small), (std::vector<uint8_t>{1, 0, 0}));
}

// Page 8.3's first trap: of a bias of 7 the paper's grid spans clip values from 122 to 0.40 times the range, 12 of 100
// of them from a half to one.
TEST(FpqCandidates, GridOfThePaper) {
  const std::vector<double> clips = clip_candidates(ClipGrid::kBias, kE3M0, 1);
  ASSERT_EQ(clips.size(), 101u);
  EXPECT_NEAR(clips.front(), 122, 0.5);
  EXPECT_NEAR(clips[99], 0.40, 0.005);
  EXPECT_EQ(std::count_if(clips.begin(), clips.end() - 1, [](double c) { return c >= 0.5 && c <= 1; }), 12);
  EXPECT_NEAR(clips.back(), 1, 1e-12);
}

// Ours: the same for data of another size, the whole range among them.
TEST(FpqCandidates, GridThatScalesWithTheData) {
  const std::vector<double> ones = clip_candidates(ClipGrid::kClip, kE2M1, 1);
  const std::vector<double> small = clip_candidates(ClipGrid::kClip, kE2M1, 0x1p-20);
  ASSERT_EQ(ones.size(), 48u);
  for (size_t i = 0; i < ones.size(); ++i) EXPECT_EQ(small[i], ones[i] * 0x1p-20);
  EXPECT_NE(std::find(ones.begin(), ones.end(), 1.0), ones.end());
  // Beyond what fp32 holds there are no candidates.
  EXPECT_EQ(clip_candidates(ClipGrid::kClip, kE2M1, 3e38).size(), 46u);
  EXPECT_LT(clip_candidates(ClipGrid::kBias, kE2M1, 1e-37).size(), 101u);
}

}  // namespace
}  // namespace bitloom
