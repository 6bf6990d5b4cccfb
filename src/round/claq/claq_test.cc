#include "round/claq/claq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "round/gptq/gptq.h"
#include "round/kmeans/kmeans.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 256, kCols = 96;

/// Nothing is ever read of the channel called `dead`.
InputStatistics inputs_of(ThreadPool& threads, int64_t dead = -1) {
  const auto size = [dead](int64_t c) { return c == dead ? 0.0f : 0.3f + static_cast<float>(c % 5); };
  return testing::correlated_inputs(kCols, 400, 0.7f, size, threads);
}

Rounded round_with(const ClaqRounding& options, const RowSource& w, const char* storage, const InputStatistics& inputs,
                   ThreadPool& threads) {
  InputCache shared;
  Ranks ranks;
  return round_matrix(Rounding(options), {"w", w, parse_target(storage), &inputs, shared, ranks, threads});
}

double error_with(const ClaqRounding& options, const RowSource& w, const char* storage, const InputStatistics& inputs,
                  ThreadPool& threads) {
  const Rounded rounded = round_with(options, w, storage, inputs, threads);
  rounded.matrix->check_values("w");
  return *rounded.report.output_error;
}

constexpr ClaqRounding kPlain{.allocation = ClaqRounding::Allocation::kOutliers, .row_scales = false, .refine = 0};

TEST(Claq, WithoutAnyOptionIsFeedbackOntoCodebooks) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const Rounded claq = round_with(kPlain, w, "codebook2-col", inputs, threads);
  InputCache shared;
  Ranks ranks;
  const Rounded gptq =
      round_matrix(Rounding(GptqRounding{}), {"w", w, parse_target("codebook2-col"), &inputs, shared, ranks, threads});
  EXPECT_EQ(claq.matrix->decode_all(), gptq.matrix->decode_all());
  EXPECT_EQ(claq.matrix->storage(), "codebook2-col");
  EXPECT_NEAR(claq.report.weight_error, gptq.report.weight_error, 1e-9);
}

TEST(Claq, RowScalesAndRefinementLowerTheOutputError) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);  // rows of sizes from 1 to 4
  const InputStatistics inputs = inputs_of(threads);
  ClaqRounding options = kPlain;
  const double plain = error_with(options, w, "codebook2-col", inputs, threads);
  options.row_scales = true;
  const double scaled = error_with(options, w, "codebook2-col", inputs, threads);
  EXPECT_LT(scaled, 0.9 * plain);
  options.refine = 1;
  const double refined = error_with(options, w, "codebook2-col", inputs, threads);
  EXPECT_LT(refined, scaled);
  options.refine = 4;
  EXPECT_LT(error_with(options, w, "codebook2-col", inputs, threads), refined);
}

TEST(Claq, TablesBegunFromGatheredRowsServeAllOfThem) {
  constexpr int64_t kManyRows = 5000, kFewCols = 16;
  ThreadPool threads(2);
  const DenseMatrix w = testing::heavy_tailed_matrix(kManyRows, kFewCols);
  std::vector<float> one(kFewCols * kFewCols);  // no feedback between columns: what is left are the tables' errors
  for (int64_t c = 0; c < kFewCols; ++c) one[static_cast<size_t>(c * (kFewCols + 1))] = 1;
  InputStatistics inputs(kFewCols, Needs{.second_moment = true});
  inputs.moment = SecondMoment::from_mean(kFewCols, 1000, one);
  for (const char* storage : {"codebook2-col", "codebook3-col", "codebook4-col", "codebook6-col"}) {
    InputCache shared;
    Ranks ranks;
    const Rounded all_rows =
        round_matrix(Rounding(KMeansRounding{}), {"w", w, parse_target(storage), nullptr, shared, ranks, threads});
    const double error = round_with(kPlain, w, storage, inputs, threads).report.weight_error;
    EXPECT_LT(error, 1.005 * all_rows.report.weight_error) << storage;
  }
}

/// Weights whose sizes differ from column to column, with a few great ones in some columns.
DenseMatrix uneven_matrix() {
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 7);
  for (int64_t c = 0; c < kCols; ++c) {
    for (int64_t r = 0; r < kRows; ++r) {
      float& x = w.values()[static_cast<size_t>(r * kCols + c)];
      if (c % 11 == 0) x *= 4;
      if (c % 7 == 0 && r % 50 == 0) x *= 20;
    }
  }
  return w;
}

TEST(Claq, BitsGoWhereTheyHelp) {
  ThreadPool threads(2);
  const DenseMatrix w = uneven_matrix();
  const InputStatistics inputs = inputs_of(threads);
  ClaqRounding options;
  const auto error = [&](ClaqRounding::Allocation allocation) {
    options.allocation = allocation;
    return error_with(options, w, "codebook2.5-col", inputs, threads);
  };
  const double random = error(ClaqRounding::Allocation::kRandom), gain = error(ClaqRounding::Allocation::kGain);
  EXPECT_LT(gain, 0.8 * random);
  EXPECT_LT(error(ClaqRounding::Allocation::kSaliency), random);
  EXPECT_LT(error(ClaqRounding::Allocation::kOutliers), random);
  options.allocation = ClaqRounding::Allocation::kGain;
  EXPECT_LE(round_with(options, w, "codebook2.5-col", inputs, threads).matrix->nominal_bits(), 2.5 + 16.0 / kCols);
}

TEST(Claq, KeptWeightsAreStoredInFp16) {
  ThreadPool threads(2);
  const DenseMatrix w = uneven_matrix();
  const InputStatistics inputs = inputs_of(threads);
  ClaqRounding options{.allocation = ClaqRounding::Allocation::kOutliers};
  const double without = error_with(options, w, "codebook2-col", inputs, threads);
  options.reserved = 0.004, options.reserved_most = 0.014;
  const Rounded with = round_with(options, w, "codebook2-col", inputs, threads);
  EXPECT_EQ(with.matrix->storage(), "codebook2-col+outliers0.01+frame-outscales");
  const auto kept = with.matrix->find_part(".outlier_values")->shape[0];
  EXPECT_EQ(kept, 9 * 7 + 87 * 2);  // 2 * 256 * 0.014 and 2 * 256 * 0.004, rounded down
  EXPECT_LT(*with.report.output_error, 0.9 * without);
  // The file says what it holds: codes, tables, widths, kept weights and their places, row scales.
  const double bytes =
      kRows * kCols / 4 + kCols * (8 + 1) + 4 * static_cast<double>(kept) + 4 * (kRows + 1) + 2 * kRows;
  EXPECT_DOUBLE_EQ(with.matrix->true_bits(), 8 * bytes / (kRows * kCols));
}

// Published counts are rounded up, and the code may give every column the greater share: the file has room for both.
TEST(Claq, PublishedReservationsFitTheirStorage) {
  ThreadPool threads(2);
  const DenseMatrix w = uneven_matrix();
  const InputStatistics inputs = inputs_of(threads);
  for (const auto parity : {ClaqRounding::Parity::kPaper, ClaqRounding::Parity::kCode}) {
    for (const auto& [most_columns, tenth] : {std::pair{0.0, 0.03}, {0.03, 0.03}, {0.24, 0.24}}) {
      const ClaqRounding options{.reserved = most_columns, .reserved_most = tenth, .parity = parity};
      round_with(options, w, "codebook2-col", inputs, threads).matrix->check_values("w");
    }
  }
  const DenseMatrix low = testing::normal_matrix(50, kCols, 3);
  const ClaqRounding options{.reserved = 0.03, .parity = ClaqRounding::Parity::kPaper};
  EXPECT_THAT(
      testing::message_of(ErrorKind::kUsage, [&] { round_with(options, low, "codebook2-col", inputs, threads); }),
      ::testing::HasSubstr("has 50 rows"));
}

TEST(Claq, WhatItAddsItselfIsKnownBeforehand) {
  const Rounding scaled((ClaqRounding())), plain(ClaqRounding{.row_scales = false});
  const Storage columns = parse_storage("codebook2-col"), framed = parse_storage("codebook2-col+frame-in16");
  EXPECT_EQ(to_string(storage_by(scaled, columns)), "codebook2-col+frame-outscales");
  EXPECT_TRUE(rounds_onto(scaled, columns));
  EXPECT_FALSE(rounds_onto(scaled, framed)) << "there is one frame, and row scales are it";
  EXPECT_TRUE(rounds_onto(plain, framed));
  EXPECT_EQ(storage_by(plain, framed), framed);
}

TEST(Claq, RefusesWeightsBeyondFp16) {
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  w.values()[kCols + 2] = 7e4f;
  const InputStatistics inputs = inputs_of(threads);
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused,
                                  [&] { round_with(ClaqRounding{}, w, "codebook2-col", inputs, threads); }),
              ::testing::HasSubstr("weight [1, 2] is 70000, beyond fp16"));
}

TEST(Claq, ParityReproducesThePaperAndItsCode) {
  ThreadPool threads(2);
  const DenseMatrix w = uneven_matrix();
  const InputStatistics inputs = inputs_of(threads);
  ClaqRounding options{.reserved = 0.004, .reserved_most = 0.014, .parity = ClaqRounding::Parity::kPaper};
  const Rounded paper = round_with(options, w, "codebook2.05-col", inputs, threads);
  options.parity = ClaqRounding::Parity::kCode;
  const Rounded code = round_with(options, w, "codebook2.05-col", inputs, threads);
  EXPECT_EQ(paper.matrix->find_part(".out_scales"), nullptr);
  const auto kept = [](const Rounded& rounded) { return rounded.matrix->find_part(".outlier_values")->shape[0]; };
  // n = 256: round(1.024) + 1 of the top and 1 of the bottom, round(3.584) + 1 and 4; round(9.6) columns keep most.
  EXPECT_EQ(kept(paper), 10 * 9 + 86 * 3);
  EXPECT_EQ(kept(code), kept(paper));                                // 96 columns are fewer than a block
  EXPECT_LT(*paper.report.output_error, *code.report.output_error);  // whose tables fit kept weights, too
}

TEST(Claq, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const DenseMatrix w = uneven_matrix();
  const InputStatistics inputs = inputs_of(one);
  const ClaqRounding options{.reserved = 0.01};
  EXPECT_EQ(round_with(options, w, "codebook2.3-col", inputs, one).matrix->decode_all(),
            round_with(options, w, "codebook2.3-col", inputs, three).matrix->decode_all());
}

TEST(Claq, DeadColumnsAndRowsOfZerosAreNoProblem) {
  ThreadPool threads(2);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  std::fill(w.values().begin() + kCols, w.values().begin() + 2 * kCols, 0.0f);
  for (int64_t r = 0; r < kRows; ++r) w.values()[static_cast<size_t>(r * kCols + 5)] = 0;
  const InputStatistics inputs = inputs_of(threads, 9);
  const Rounded rounded = round_with({.reserved = 0.004}, w, "codebook2.1-col", inputs, threads);
  rounded.matrix->check_values("w");
  EXPECT_LT(*rounded.report.output_error, 0.3);
}

TEST(Claq, RefusesWhatMeansNothing) {
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  EXPECT_THAT(
      testing::message_of(ErrorKind::kUsage, [&] { round_with({.narrow = 2}, w, "codebook1.5-col", inputs, threads); }),
      HasSubstr("cannot have 1.5 bits in the mean"));
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { round_with({}, w, "int4-g32", inputs, threads); }),
              HasSubstr("'claq' cannot choose codes of int4-g32"));
  for (int64_t r = 0; r < kRows; ++r) w.values()[static_cast<size_t>(r * kCols + 5)] = NAN;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with({}, w, "codebook2-col", inputs, threads); }),
              HasSubstr("w: weight [0, 5] is nan"));
  // A layer that no calibration token reached.
  const InputStatistics unseen(kCols);
  EXPECT_THAT(testing::message_of(
                  ErrorKind::kFailed,
                  [&] { round_with({}, testing::normal_matrix(kRows, kCols, 3), "codebook2-col", unseen, threads); }),
              HasSubstr("w: error feedback needs calibration tokens, and none were seen"));
}

}  // namespace
}  // namespace bitloom
