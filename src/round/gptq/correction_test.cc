#include "round/gptq/correction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "round/gptq/gptq.h"
#include "round/output_error.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

std::vector<double> random_values(int64_t count, uint64_t stream) {
  Rng rng(41, stream);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = rng.normal();
  return values;
}

TEST(Correction, ByHand) {
  // U = [[1, 2], [0, 3]], D = [[4, 5], [6, 7]]: D U^T = [[14, 15], [20, 21]], above the diagonal only 15;
  // times U: row 0 is 15 * (0, 3); alpha = 1/2.
  std::vector<float> d = {4, 5, 6, 7};
  const std::vector<float> u = {1, 2, 0, 3};
  ThreadPool threads(1);
  make_correction(d.data(), u.data(), 2, 0.5f, threads);
  EXPECT_EQ(d, (std::vector<float>{0, 22.5f, 0, 0}));
}

// Two chained products in fp32: relative to |D| |U^T| |U|, whose entries are at most (n max|.|^3) n with |.| < 5 here,
// each adds n eps.
TEST(Correction, TiledEqualsTheReferenceForAnyNumberOfThreads) {
  for (const int64_t n : {1, 255, 256, 257, 530}) {
    std::vector<double> d = random_values(n * n, 1), u = random_values(n * n, 2);
    for (int64_t i = 0; i < n; ++i) std::fill(u.begin() + i * n, u.begin() + i * n + i, 0.0);
    std::vector<float> fast(d.begin(), d.end());
    const std::vector<float> u32(u.begin(), u.end());
    std::vector<float> again = fast;
    ThreadPool one(1), three(3);
    make_correction(fast.data(), u32.data(), n, 0.25f, one);
    make_correction(again.data(), u32.data(), n, 0.25f, three);
    EXPECT_EQ(fast, again);
    make_correction_reference(d.data(), u.data(), n, 0.25);
    double largest = 0;
    for (const double value : d) largest = std::max(largest, std::abs(value));
    // Errors of random sign grow with the root of the number of terms: far below this share of the largest entry, and
    // a wrong tile errs by all of it.
    for (size_t i = 0; i < d.size(); ++i) ASSERT_NEAR(fast[i], d[i], 1e-4 * largest) << n << " " << i;
  }
}

/// Inputs f of a float model, and what a quantized prefix made of them: a systematic difference, and noise.
struct Inputs {
  int64_t tokens, channels;
  std::vector<float> f, x;

  Inputs(int64_t count, int64_t width, uint64_t seed) : tokens(count), channels(width) {
    Rng rng(seed, 43);
    const int64_t rank = width / 4;
    std::vector<double> basis(static_cast<size_t>(rank * width)), row(static_cast<size_t>(width));
    for (double& value : basis) value = rng.normal() / std::sqrt(static_cast<double>(rank));
    for (int64_t t = 0; t < tokens; ++t) {
      for (double& value : row) value = 0.5 * rng.normal();
      for (int64_t k = 0; k < rank; ++k) {
        const double factor = rng.normal();
        for (size_t c = 0; c < row.size(); ++c) row[c] += factor * basis[static_cast<size_t>(k * width) + c];
      }
      for (size_t c = 0; c < row.size(); ++c) {
        f.push_back(static_cast<float>(row[c]));
        x.push_back(static_cast<float>(0.9 * row[c] + 0.05 * row[(c + 3) % row.size()] + 0.05 * rng.normal()));
      }
    }
  }
};

/// sum_t |W f_t - Q x_t|^2.
double target_error(const RowSource& w, const RowSource& q, const Inputs& inputs) {
  const auto a = w.decode_all(), b = q.decode_all();
  double total = 0;
  for (int64_t t = 0; t < inputs.tokens; ++t) {
    const float *f = inputs.f.data() + t * inputs.channels, *x = inputs.x.data() + t * inputs.channels;
    for (int64_t r = 0; r < w.rows(); ++r) {
      double difference = 0;
      for (int64_t c = 0; c < w.cols(); ++c) {
        const auto at = static_cast<size_t>(r * w.cols() + c);
        difference += double{a[at]} * double{f[c]} - double{b[at]} * double{x[c]};
      }
      total += difference * difference;
    }
  }
  return total;
}

struct Statistics {
  SecondMoment moment;
  CrossMoment cross;
  Statistics(const Inputs& inputs, ThreadPool& threads) : moment(inputs.channels), cross(inputs.channels) {
    moment.add(inputs.x.data(), inputs.tokens, inputs.channels, threads);
    cross.add(inputs.f.data(), inputs.x.data(), inputs.tokens, inputs.channels, threads);
  }
};

GptqRounding with_correction(double alpha, ColumnOrder order = ColumnOrder::kNatural) {
  GptqRounding options;
  options.correction = alpha;
  options.order = order;
  return options;
}

// What the correction is for: the error to the float model's outputs falls, on every one of these problems.
TEST(Correction, BringsTheOutputsNearerToTheFloatModels) {
  ThreadPool threads(1);
  constexpr int64_t kChannels = 96, kRows = 24;
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const Inputs inputs(400, kChannels, seed);
    const Statistics seen(inputs, threads);
    const auto w = testing::normal_matrix(kRows, kChannels, seed);
    for (const char* text : {"int4-g32", "int8-row", "int3-row-asym"}) {
      double least = std::numeric_limits<double>::infinity();
      for (const double alpha : {0.0, 0.25, 1.0}) {
        const auto options = with_correction(alpha);
        const GptqFactor factor = make_gptq_factor(seen.moment, &seen.cross, options, 0, threads);
        EXPECT_EQ(factor.correction.empty(), alpha == 0);
        const double error =
            target_error(w, *quantize_gptq("w", w, parse_target(text), factor, false, threads), inputs);
        EXPECT_LT(error, least) << text << " seed " << seed << " alpha " << alpha;
        least = error;
      }
    }
  }
}

// A prefix that gives the float model's own inputs: D = 0, and the codes are those without a correction.
TEST(Correction, WithoutADifferenceNothingChanges) {
  ThreadPool threads(1);
  const Inputs inputs(300, 64, 7);
  const Statistics seen(inputs, threads);
  CrossMoment none(64);
  none.add(inputs.x.data(), inputs.x.data(), inputs.tokens, 64, threads);
  const auto w = testing::normal_matrix(20, 64, 7);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation, ColumnOrder::kGroupAware}) {
    const auto plain = make_gptq_factor(seen.moment, nullptr, with_correction(0, order), 16, threads);
    const auto corrected = make_gptq_factor(seen.moment, &none, with_correction(1, order), 16, threads);
    const auto a = quantize_gptq("w", w, parse_target("int3-g16"), plain, false, threads);
    const auto b = quantize_gptq("w", w, parse_target("int3-g16"), corrected, false, threads);
    for (size_t i = 0; i < a->parts().size(); ++i) {
      EXPECT_TRUE(std::equal(a->parts()[i].bytes.begin(), a->parts()[i].bytes.end(), b->parts()[i].bytes.begin()));
    }
  }
}

// The factor's P is the definition's on the permuted D, dead columns left out.
TEST(Correction, FollowsTheOrderAndLeavesDeadColumnsOut) {
  ThreadPool threads(1);
  constexpr int64_t kN = 40;
  Inputs inputs(300, kN, 9);
  for (int64_t t = 0; t < inputs.tokens; ++t) inputs.x[static_cast<size_t>(t * kN + 5)] = 0;
  const Statistics seen(inputs, threads);
  const auto options = with_correction(0.5, ColumnOrder::kActivation);
  const GptqFactor factor = make_gptq_factor(seen.moment, &seen.cross, options, 0, threads);
  ASSERT_EQ(factor.dead_columns, std::vector<int64_t>{5});
  std::vector<double> d(kN * kN);
  for (size_t i = 0; i < kN; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      const auto row = static_cast<size_t>(factor.order[i]), column = static_cast<size_t>(factor.order[j]);
      if (row != 5 && column != 5) d[i * kN + j] = double{seen.cross.sums()[row * kN + column]} / 300;
    }
  }
  const std::vector<double> u(factor.u.begin(), factor.u.end());
  make_correction_reference(d.data(), u.data(), kN, 0.5);
  double largest = 0;
  for (const double value : d) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < d.size(); ++i) ASSERT_NEAR(factor.correction[i], d[i], 1e-4 * largest) << i;
}

// The report measures against the original weights, whatever the loop was told to aim at.
TEST(Correction, ReportedErrorIsThatOfTheCodes) {
  ThreadPool threads(1);
  const Inputs inputs(300, 64, 11);
  const Statistics seen(inputs, threads);
  const auto w = testing::normal_matrix(20, 64, 11);
  const auto factor = make_gptq_factor(seen.moment, &seen.cross, with_correction(1), 0, threads);
  GptqReport report;
  const auto q = quantize_gptq("w", w, parse_target("int4-g32"), factor, false, threads, &report);
  const std::vector<float> before = w.decode_all(), after = q->decode_all();
  double error = 0, norm = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    error += std::pow(double{before[i]} - double{after[i]}, 2), norm += std::pow(double{before[i]}, 2);
  }
  EXPECT_NEAR(report.rounding.weight_error, error / norm, 1e-12);
}

TEST(Correction, WhatIsMissingIsSaid) {
  ThreadPool threads(1);
  const Inputs inputs(50, 16, 1);
  const Statistics seen(inputs, threads);
  const CrossMoment unseen(16);
  CrossMoment other(17);
  other.add(inputs.f.data(), inputs.x.data(), 40, 17, threads);
  EXPECT_THROW(make_gptq_factor(seen.moment, nullptr, with_correction(1), 0, threads), Error);
  EXPECT_THROW(make_gptq_factor(seen.moment, &unseen, with_correction(1), 0, threads), Error);
  EXPECT_THROW(make_gptq_factor(seen.moment, &other, with_correction(1), 0, threads), Error);
}

}  // namespace
}  // namespace bitloom
