#include "round/slim/slim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "format/families/affine/affine_matrix.h"
#include "round/gptq/gptq.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SlimWidths, MoveBitsFromTheLeastSalientToTheMost) {
  const std::vector<double> saliencies = {3, 1, 9, 4, 2};
  EXPECT_THAT(slim_widths(saliencies, 2, 5, 0), ElementsAre(2, 2, 2, 2, 2));
  EXPECT_THAT(slim_widths(saliencies, 2, 5, 1), ElementsAre(2, 1, 3, 2, 2));
  EXPECT_THAT(slim_widths(saliencies, 2, 5, 2), ElementsAre(2, 1, 3, 3, 1));
  // The last group, of fewer columns, takes no part.
  EXPECT_THAT(slim_widths(saliencies, 3, 4, 2), ElementsAre(2, 2, 4, 4, 3));
  EXPECT_THAT(slim_widths({1, 1, 1, 1}, 3, 4, 1), ElementsAre(2, 3, 3, 4));
}

TEST(SlimScore, IsTheDivergenceOfSoftmaxes) {
  // p = (1/2, 1/2), q = (1/3, 2/3): KL = ln(3/2)/2 + ln(3/4)/2; the other input is not changed.
  const auto ln2 = static_cast<float>(std::log(2.0));
  const double kl = (std::log(1.5) + std::log(0.75)) / 2;
  EXPECT_NEAR(mean_softmax_kl({5, 5, 1, 2}, {0, ln2, 0, 0}, 2), kl / 2, 1e-7);
  EXPECT_NEAR(mean_softmax_kl({5, 5, 1, 2}, {3, 3, -1, -1}, 2), 0, 1e-12);  // a shift of all outputs is none
}

// Of 40,000 products of normal numbers the mean is within 5 standard deviations, 5 sqrt(2 / 40,000) of the sizes.
TEST(SlimInputs, HaveTheSecondMoment) {
  constexpr int64_t kChannels = 6, kCount = 40000;
  ThreadPool threads(2);
  const InputStatistics inputs = testing::correlated_inputs(
      kChannels, 500, 0.8f, [](int64_t c) { return c == 2 ? 0.0f : 1.0f + static_cast<float>(c); }, threads);
  const GptqFactor factor = make_gptq_factor(*inputs.moment, nullptr, {.order = ColumnOrder::kActivation}, 0, threads);
  const std::vector<float> x = draw_inputs(factor, kCount, threads);
  std::vector<float> h(kChannels * kChannels);
  inputs.moment->copy_to(h.data(), threads);
  for (size_t i = 0; i < kChannels; ++i) {
    for (size_t j = 0; j < kChannels; ++j) {
      double mean = 0;
      for (size_t t = 0; t < kCount; ++t) {
        mean += static_cast<double>(x[t * kChannels + i]) * static_cast<double>(x[t * kChannels + j]) / kCount;
      }
      const double damped = i == j && i != 2 ? factor.lambda() : 0;
      const auto own = [&](size_t c) { return static_cast<double>(h[c * kChannels + c]) + factor.lambda(); };
      EXPECT_NEAR(mean, static_cast<double>(h[i * kChannels + j]) + damped, 0.036 * std::sqrt(own(i) * own(j)));
    }
  }
}

constexpr int64_t kRows = 200, kCols = 88;  // five groups of 16 and one of 8

/// Groups 1 and 4 read inputs that are six times as large.
InputStatistics inputs_of(ThreadPool& threads) {
  return testing::correlated_inputs(
      kCols, 400, 0.3f, [](int64_t c) { return c / 16 == 1 || c / 16 == 4 ? 6.0f : 1.0f; }, threads);
}

Rounded round_with(const RowSource& w, const Rounding& rounding, const char* storage, const InputStatistics& inputs,
                   int threads = 2) {
  ThreadPool pool(threads);
  InputCache shared;
  Ranks ranks;
  Rounded rounded = bitloom::round_matrix(rounding, {"w", w, parse_target(storage), &inputs, shared, ranks, pool});
  rounded.matrix->check_values("w");
  return rounded;
}

std::vector<int> widths_of(const StoredMatrix& matrix) {
  std::vector<int> widths;
  for (const std::byte width : matrix.find_part(".widths")->bytes) widths.push_back(static_cast<int>(width));
  return widths;
}

TEST(Slim, SalientGroupsGetMoreBitsAndTheErrorFalls) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  for (const SlimRounding& options : {SlimRounding{}, SlimRounding{.score = SlimRounding::Score::kKl},
                                      SlimRounding{.parity = SlimRounding::Parity::kPaper}}) {
    for (const int bits : {2, 3}) {
      const std::string b = std::to_string(bits);
      const Rounded mixed = round_with(w, options, ("affine" + b + "-g16-mixed").c_str(), inputs);
      const std::vector<int> widths = widths_of(*mixed.matrix);
      EXPECT_GT(widths[1] + widths[4], 2 * bits);
      EXPECT_EQ(std::count(widths.begin(), widths.end(), bits + 1), std::count(widths.begin(), widths.end(), bits - 1));
      EXPECT_EQ(widths[5], bits);
      const bool paper = options.parity == SlimRounding::Parity::kPaper;
      if (paper) continue;
      const Rounded plain = round_with(w, GptqRounding{}, ("affine" + b + "-g16").c_str(), inputs);
      EXPECT_LT(*mixed.report.output_error, 0.8 * *plain.report.output_error) << bits;
      EXPECT_DOUBLE_EQ(mixed.matrix->nominal_bits(), plain.matrix->nominal_bits());
      // A width more for each group of columns.
      EXPECT_NEAR(mixed.matrix->true_bits(), plain.matrix->true_bits() + 8.0 * 6 / (kRows * kCols), 1e-12);
    }
  }
}

TEST(Slim, GroupsThatAreAlikeKeepTheirWidths) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = testing::correlated_inputs(
      kCols, 2000, 0.0f, [](int64_t) { return 1.0f; }, threads);
  const Rounded mixed = round_with(w, SlimRounding{}, "affine3-g16-mixed", inputs);
  EXPECT_THAT(widths_of(*mixed.matrix), ElementsAre(3, 3, 3, 3, 3, 3));
  EXPECT_EQ(mixed.matrix->decode_all(), round_with(w, GptqRounding{}, "affine3-g16", inputs).matrix->decode_all());
}

TEST(Slim, OneGroupKeepsItsWidthAndTheReportSaysSo) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const Rounded one = round_with(w, SlimRounding{}, "affine3-g64-mixed", inputs);
  EXPECT_THAT(widths_of(*one.matrix), ElementsAre(3, 3));
  EXPECT_THAT(one.report.remarks, ElementsAre("all widths are 3 bits: 88 columns are 1 whole group of 64"));
  EXPECT_TRUE(round_with(w, SlimRounding{}, "affine3-g32-mixed", inputs).report.remarks.empty());
}

TEST(Slim, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  for (const char* storage : {"affine2-g16-mixed", "affine2-g16-mixed-s6x16"}) {
    EXPECT_EQ(round_with(w, SlimRounding{.salience = 3}, storage, inputs, 1).matrix->decode_all(),
              round_with(w, SlimRounding{.salience = 3}, storage, inputs, 3).matrix->decode_all());
  }
}

TEST(Slim, RefusesWhatMeansNothing) {
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  for (const char* storage : {"affine1-g16-mixed", "affine8-g16-mixed", "affine2-g16"}) {
    EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { round_with(w, SlimRounding{}, storage, inputs); }),
                HasSubstr("w: 'slim' cannot choose codes of affine"));
  }
  w.values()[3] = NAN;
  EXPECT_THAT(
      testing::message_of(ErrorKind::kRefused, [&] { round_with(w, SlimRounding{}, "affine2-g16-mixed", inputs); }),
      HasSubstr("w: weight [0, 3] is nan"));
}

}  // namespace
}  // namespace bitloom
