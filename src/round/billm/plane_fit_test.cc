// Levels of a row, and the searches over many rows against them.
#include "round/billm/plane_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "round/billm/block_search.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

// By hand. Salient: 1, 3; their mean is 2 and the deviations 1, nothing is left. Of the others 0.5 and -0.5 are
// concentrated, 2, -2 and -3 outer: mean -1, deviations 3, 1, 2, so alpha is 2.
TEST(PlaneFit, OneRowByHand) {
  const std::vector<float> w = {1, 0.5f, 2, 3, -0.5f, -2, -3}, h(7, 1);
  const std::vector<uint8_t> salient = {1, 0, 0, 1, 0, 0, 0}, outer = {0, 0, 1, 0, 0, 1, 1};
  RowBlock row{7, w.data(), h.data(), salient.data(), false};
  const PlaneLevels levels = fit_planes(row, outer.data());
  EXPECT_EQ(levels.mu_c, 0);
  EXPECT_EQ(levels.alpha_c, 0.5f);
  EXPECT_EQ(levels.mu_o, -1);
  EXPECT_EQ(levels.alpha_o, 2);
  EXPECT_EQ(levels.mu_s, 2);
  EXPECT_EQ(levels.alpha_1, 1);
  EXPECT_EQ(levels.alpha_2, 0);
  std::vector<uint8_t> codes(7);
  choose_codes(row, levels, outer.data(), codes.data());
  EXPECT_THAT(codes, ElementsAre(0, 1, 3, 1, 0, 2, 2));
  EXPECT_EQ(plane_error(row, levels, codes.data()), 1 + 1);  // 2 becomes 1, -2 becomes -3
  // Without means: alpha is the mean of |w|.
  row.zero_mean = true;
  const PlaneLevels zero = fit_planes(row, outer.data());
  EXPECT_EQ(zero.mu_o, 0);
  EXPECT_FLOAT_EQ(zero.alpha_o, 7.0f / 3);
  EXPECT_EQ(zero.alpha_1, 2);
  EXPECT_EQ(zero.alpha_2, 1);
  choose_codes(row, zero, nullptr, codes.data());
  EXPECT_THAT(codes, ElementsAre(1, 1, 3, 3, 0, 2, 2));
}

/// Random weights [cols, rows], costs and salient columns.
struct Sample {
  explicit Sample(int64_t row_count, int64_t col_count) : rows(row_count), cols(col_count) {
    Rng rng(7, 3);
    for (int64_t i = 0; i < rows * cols; ++i) w.push_back(static_cast<float>(rng.normal() + 0.2));
    for (int64_t c = 0; c < cols; ++c) {
      h.push_back(0.5f + static_cast<float>(rng.uniform()));
      salient.push_back(c % 5 == 2 ? 1 : 0);
    }
  }
  std::vector<float> row(int64_t r) const {
    std::vector<float> values;
    for (int64_t c = 0; c < cols; ++c) values.push_back(w[static_cast<size_t>(c * rows + r)]);
    return values;
  }
  SearchBlock block(bool zero_mean) const { return {rows, cols, w.data(), h, zero_mean}; }
  int64_t rows, cols;
  std::vector<float> w, h;
  std::vector<uint8_t> salient;
};

/// The error of a row of which `salient` columns get two planes and, where wanted, the others too.
double error_of(const Sample& s, int64_t r, const std::vector<uint8_t>& salient, const std::vector<uint8_t>& outer,
                bool zero_mean) {
  const std::vector<float> w = s.row(r);
  const RowBlock row{s.cols, w.data(), s.h.data(), salient.data(), zero_mean};
  std::vector<uint8_t> codes(w.size());
  PlaneLevels levels = fit_planes(row, outer.data());
  double error = 0;
  // BiLLM's signs are those of the deviations, which are not always the nearest value's; so by the formula.
  float values[2][4];
  levels.values(values);
  choose_codes(row, levels, outer.data(), codes.data());
  for (int64_t c = 0; c < s.cols; ++c) {
    const auto i = static_cast<size_t>(c);
    float value = 0;
    if (salient[i] == 0) {
      const float mu = outer[i] != 0 ? levels.mu_o : levels.mu_c,
                  alpha = outer[i] != 0 ? levels.alpha_o : levels.alpha_c;
      value = w[i] < mu ? mu - alpha : mu + alpha;
    } else {
      value = values[1][codes[i]];
    }
    error += static_cast<double>(s.h[i]) * std::pow(static_cast<double>(w[i] - value), 2);
  }
  return error;
}

// 40 rows: two tiles and a half. Sums of 40 * 24 fp32 terms.
TEST(BlockSearch, SplitErrorsAreThoseOfTheLevels) {
  const Sample s(40, 24);
  ThreadPool threads(2);
  for (const bool zero_mean : {false, true}) {
    const std::vector<float> thresholds = split_thresholds(s.block(zero_mean), s.salient, {}, false);
    ASSERT_EQ(thresholds.size(), 81u);
    EXPECT_TRUE(std::is_sorted(thresholds.begin(), thresholds.end()));
    const std::vector<double> errors = split_errors(s.block(zero_mean), s.salient, thresholds, {}, threads);
    for (const size_t i : {size_t{0}, size_t{33}, size_t{80}}) {
      double expected = 0;
      for (int64_t r = 0; r < s.rows; ++r) {
        const std::vector<float> w = s.row(r);
        std::vector<uint8_t> outer, none = s.salient;
        for (const float x : w) outer.push_back(std::abs(x) < thresholds[i] ? 0 : 1);
        // Only columns that are not salient count.
        Sample others = s;
        for (size_t c = 0; c < none.size(); ++c) {
          if (none[c] != 0) others.h[c] = 0;
        }
        expected += error_of(others, r, s.salient, outer, zero_mean);
      }
      EXPECT_NEAR(errors[i], expected, 1e-4 * expected) << zero_mean << " " << i;
    }
  }
}

TEST(BlockSearch, ThresholdsAreInUnitsOfTheRowsScales) {
  const Sample s(40, 24);
  ThreadPool threads(2);
  const std::vector<float> halves(40, 0.5f);
  const std::vector<float> plain = split_thresholds(s.block(false), s.salient, {}, false);
  const std::vector<float> scaled = split_thresholds(s.block(false), s.salient, halves, false);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i], 2 * plain[i]);
  EXPECT_EQ(split_errors(s.block(false), s.salient, plain, {}, threads),
            split_errors(s.block(false), s.salient, scaled, halves, threads));
  // Salient columns as zeros move the quantiles down.
  EXPECT_LT(split_thresholds(s.block(false), s.salient, {}, true)[40], plain[40]);
}

TEST(BlockSearch, TwoPlanesErrLessThanOneAndTheCountsAgreeWithTheLevels) {
  const Sample s(40, 24);
  ThreadPool one(1), three(3);
  std::vector<int64_t> ranked;
  for (int64_t c = 0; c < s.cols; ++c) ranked.push_back((c * 7) % s.cols);
  const auto errors = [&](SearchPlanes planes, ThreadPool& threads) {
    return salient_errors(s.block(false), ranked, 20, planes, threads);
  };
  const std::vector<double> single = errors({1, 1}, one), both = errors({2, 2}, one), mixed = errors({2, 1}, one);
  for (size_t m = 0; m <= 20; ++m) {
    EXPECT_LE(both[m], single[m]);
    EXPECT_LE(mixed[m], single[m]);
    EXPECT_LE(both[m], mixed[m]);
  }
  EXPECT_EQ(single[0], mixed[0]);
  EXPECT_EQ(both, errors({2, 2}, three));
  // Five salient columns, the others in one group.
  double expected = 0;
  std::vector<uint8_t> salient(static_cast<size_t>(s.cols), 0);
  for (size_t i = 0; i < 5; ++i) salient[static_cast<size_t>(ranked[i])] = 1;
  for (int64_t r = 0; r < s.rows; ++r) {
    expected += error_of(s, r, salient, std::vector<uint8_t>(static_cast<size_t>(s.cols), 0), false);
  }
  // error_of takes the nearest of the salient values, which may be another than the two signs say.
  EXPECT_LE(expected, mixed[5] * (1 + 1e-5));
  EXPECT_NEAR(mixed[5], expected, 0.01 * expected);
}

TEST(PlaneFit, RefitNeverErrsMore) {
  const Sample s(40, 64);
  for (const bool zero_mean : {false, true}) {
    for (int64_t r = 0; r < s.rows; ++r) {
      const std::vector<float> w = s.row(r);
      std::vector<uint8_t> outer, codes(w.size());
      for (const float x : w) outer.push_back(std::abs(x) < 0.7f ? 0 : 1);
      const RowBlock row{s.cols, w.data(), s.h.data(), s.salient.data(), zero_mean};
      PlaneLevels levels = fit_planes(row, outer.data());
      choose_codes(row, levels, outer.data(), codes.data());
      double before = plane_error(row, levels, codes.data());
      for (int turn = 0; turn < 3; ++turn) {
        refit_levels(row, codes.data(), levels);
        EXPECT_LE(plane_error(row, levels, codes.data()), before * (1 + 1e-6));
        choose_codes(row, levels, nullptr, codes.data());
        const double after = plane_error(row, levels, codes.data());
        EXPECT_LE(after, before * (1 + 1e-6));
        before = after;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
