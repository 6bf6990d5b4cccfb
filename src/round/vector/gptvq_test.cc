#include "round/vector/gptvq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/test_data.h"
#include "observe/moment/guided_moments.h"
#include "round/column_loop/column_loop.h"
#include "round/gptq/gptq.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"
#include "round/vector/block_columns.h"
#include "round/vector/block_fit.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::normal_matrix;

InputStatistics inputs_of(int64_t channels, int64_t tokens = 1000) {
  ThreadPool threads(1);
  return testing::correlated_inputs(
      channels, tokens, 0.8f, [](int64_t c) { return c % 5 == 0 ? 3.0f : 1.0f; }, threads);
}

Rounded round_by_data(const Rounding& rounding, const RowSource& w, const char* target, const InputStatistics* inputs,
                      int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), inputs, cache, alone, threads});
}

double output_error(const Rounding& rounding, const RowSource& w, const char* target, const InputStatistics& inputs) {
  return *round_by_data(rounding, w, target, &inputs).report.output_error;
}

// Of equal nominal bits, 2.125: vectors in every dimension have less error than scalars with error feedback, and the
// more weights a vector holds the less.
TEST(Gptvq, HasLessErrorThanScalarsAndThanVectorsWithoutFeedback) {
  const DenseMatrix w = normal_matrix(256, 256, 6);
  const InputStatistics inputs = inputs_of(256);
  const double scalar = output_error(GptqRounding{}, w, "int2-g128-asym-mse", inputs);
  const double one = output_error(GptvqRounding{}, w, "vq2-g1", inputs);
  const double two = output_error(GptvqRounding{}, w, "vq4-g2", inputs);
  const double four = output_error(GptvqRounding{}, w, "vq8-g4", inputs);
  EXPECT_LT(one, scalar);
  EXPECT_LT(two, one);
  EXPECT_LT(four, two);
  for (const char* target : {"vq2-g1", "vq4-g2", "vq8-g4"}) {
    const Rounded without = round_by_data(VectorKMeansRounding{}, w, target, &inputs);
    const Rounded data = round_by_data(GptvqRounding{}, w, target, &inputs);
    EXPECT_LT(*data.report.output_error, 0.6 * *without.report.output_error) << target;
    EXPECT_LT(without.report.weight_error, data.report.weight_error) << target;
    EXPECT_EQ(data.report.damping, 0.01);
    data.matrix->check_values("w");
  }
}

// Codebooks that are moved after the loop never cost a row of blocks anything, and on the whole they gain.
TEST(Gptvq, TheFitAfterwardsLowersTheError) {
  const DenseMatrix w = normal_matrix(300, 128, 3);
  const InputStatistics inputs = inputs_of(128);
  for (const char* target : {"vq2-g1", "vq4-g2", "vq8-g4", "vq5-g2-r64-c48", "vq4-g2-s16"}) {
    double before = std::numeric_limits<double>::infinity();
    for (const int64_t iterations : {0, 1, 8}) {
      const double error = output_error(GptvqRounding{.iterations = iterations}, w, target, inputs);
      EXPECT_LT(error, before) << target << " " << iterations;
      before = error;
    }
  }
}

// Rows, columns and vectors that end early; few entries.
TEST(Gptvq, AnyShape) {
  for (const char* target :
       {"vq8-g4", "vq4-g2", "vq2-g1", "vq3-g8-r4-c16", "vq8-g1", "vq1-g4-r2", "vq4-g2-r4-c24-s8"}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 13}, {65, 40}, {300, 9}, {20, 300}}) {
      const DenseMatrix w = normal_matrix(rows, cols, 4);
      const InputStatistics inputs = inputs_of(cols, 100);
      for (const Rounding& rounding : {Rounding(GptvqRounding{}), Rounding(VectorKMeansRounding{})}) {
        const Rounded rounded = round_by_data(rounding, w, target, &inputs);
        rounded.matrix->check_values("w");
        EXPECT_LT(rounded.report.weight_error, 1.5) << target << " [" << rows << ", " << cols << "]";
      }
    }
  }
}

TEST(Gptvq, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(600, 96, 7);
  const InputStatistics inputs = inputs_of(96);
  for (const Rounding& rounding : {Rounding(GptvqRounding{.turns = 10}), Rounding(VectorKMeansRounding{.turns = 5})}) {
    for (const char* target : {"vq4-g2", "vq8-g4", "vq8-g4-s32"}) {
      const Rounded one = round_by_data(rounding, w, target, &inputs),
                    three = round_by_data(rounding, w, target, &inputs, 3);
      EXPECT_EQ(one.matrix->decode_all(), three.matrix->decode_all());
      EXPECT_EQ(one.report, three.report);
    }
  }
}

// The loop as it is written and its definition choose the same codes: what the policy is given are weights compensated
// for all columns before the vector. (Codes may differ where two entries are equally near; here none are.)
TEST(Gptvq, IsFedAsTheReferenceSays) {
  constexpr int64_t kRows = 24, kCols = 72;
  ThreadPool threads(1);
  const InputStatistics inputs = inputs_of(kCols);
  const GptqFactor factor = make_gptq_factor(*inputs.moment, nullptr, {.order = ColumnOrder::kNatural}, 0, threads);
  for (const char* text : {"vq4-g4-r8-c24", "vq3-g2-c32", "vq2-g1", "vq4-g4-c24-s8"}) {
    const Storage storage = parse_storage(text);
    const DenseMatrix w = normal_matrix(kRows, kCols, 11);
    const std::vector<float> metrics =
        column_metrics(factor.u.data(), kCols, storage.base.get<BlockVectorStorage>().group);
    const auto policies = make_block_policies({storage, w, metrics, nullptr, 20, 0, threads});
    std::vector<float> columns(kRows * kCols), exact(kRows * kCols), errors(kRows * kCols);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t c = 0; c < kCols; ++c) columns[c * kRows + r] = exact[c * kRows + r] = w.values()[r * kCols + c];
    }
    const auto fast = policies->policy({0, kRows}), reference = policies->policy({0, kRows});
    const ColumnFeedback feedback{kCols, factor.u.data(), nullptr};
    const double loss = column_loop(feedback, columns.data(), errors.data(), kRows, *fast);
    const double definition = column_loop_reference(feedback, exact.data(), errors.data(), kRows, *reference);
    EXPECT_NEAR(loss, definition, 1e-3 * definition) << text;
    std::vector<float> a(kRows), b(kRows);
    int64_t different = 0;
    for (int64_t c = 0; c < kCols; ++c) {
      fast->decode_column(c, a.data()), reference->decode_column(c, b.data());
      for (size_t r = 0; r < kRows; ++r) different += std::abs(a[r] - b[r]) > 1e-3f ? 1 : 0;
    }
    EXPECT_LE(different, kRows * kCols / 50) << text;
  }
}

// To the optimum, where the gradient of L is nothing: sums of R over the uses of each entry.
void fit_ends_where_the_gradient_is_zero(bool scaled) {
  constexpr int64_t kRows = 20, kCols = 24;
  ThreadPool threads(1);
  const InputStatistics inputs = inputs_of(kCols);
  LayerMoment moment{kCols, std::vector<float>(kCols * kCols)};
  inputs.moment->copy_to(moment.h.data(), threads);
  const BlockVectorStorage storage = parse_block_vectors(scaled ? "vq2-g4-r8-c16-s8" : "vq2-g4-r8-c12");
  BlockCodes code{storage, VectorBlocks(storage, kRows, kCols), kRows, kCols / 4, {}};
  Rng rng(3, 3);
  for (int64_t i = 0; i < kRows * code.groups; ++i) {
    code.codes.push_back(static_cast<uint16_t>(rng.next_u32() % 4));
    if (scaled) code.scales.push_back(0.5f + static_cast<float>(rng.uniform()));
  }
  const std::vector<float> w = normal_matrix(kRows, kCols, 5).values();
  const std::vector<float> start(static_cast<size_t>(code.blocks.down * code.strip_size()));
  std::vector<double> before = block_losses(code, moment, w, start, threads);
  for (const int64_t iterations : {1, 2, 5, 40}) {
    const auto fitted = fit_block_codebooks(code, moment, w, start, iterations, threads);
    const std::vector<double> losses = block_losses(code, moment, w, fitted, threads);
    for (size_t i = 0; i < losses.size(); ++i) EXPECT_LE(losses[i], before[i] * (1 + 1e-5)) << iterations;
    before = losses;
  }
  const auto fitted = fit_block_codebooks(code, moment, w, start, 40, threads);
  std::vector<double> gradient(fitted.size()), size(fitted.size());
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      double sum = 0, all = 0;
      for (int64_t k = 0; k < kCols; ++k) {
        const double e = double{fitted[static_cast<size_t>(code.place(r, k / 4) + k % 4)]} * code.scale(r, k / 4) -
                         w[static_cast<size_t>(r * kCols + k)];
        sum += e * double{moment.at(k, c)}, all += std::abs(e * double{moment.at(k, c)});
      }
      gradient[static_cast<size_t>(code.place(r, c / 4) + c % 4)] += sum * code.scale(r, c / 4);
      size[static_cast<size_t>(code.place(r, c / 4) + c % 4)] += all * code.scale(r, c / 4);
    }
  }
  // Products are fp32: 24 terms of eps each, of random sign.
  for (size_t i = 0; i < gradient.size(); ++i) EXPECT_LE(std::abs(gradient[i]), 1e-5 * size[i] + 1e-12) << i;
}

TEST(BlockFit, EndsWhereTheGradientIsZero) {
  fit_ends_where_the_gradient_is_zero(false);
  fit_ends_where_the_gradient_is_zero(true);
}

// Sixteen sizes, each twice the one before, are the sixteen scales. The greatest has the greatest scale, however many
// small ones there are; among 128 alike but for three the lesser ones leave the rest theirs.
TEST(LogScales, FollowSizes) {
  std::vector<float> sizes;
  for (int n = 0; n < 16; ++n) sizes.push_back(std::ldexp(3.0f, n - 8));
  const ScaleFit powers = fit_log_scales(sizes);
  EXPECT_EQ(powers.step, 1);
  for (uint16_t n = 0; n < 16; ++n) EXPECT_EQ(powers.codes[n], n);
  std::vector<float> alike(128, 1.0f);
  alike[5] = 32, alike[7] = 1e-6f, alike[9] = 0;
  const ScaleFit fit = fit_log_scales(alike);
  EXPECT_NEAR(fit.step, 5.0 / 15, 1e-3);
  for (size_t i = 0; i < alike.size(); ++i) EXPECT_EQ(fit.codes[i], i == 5 ? 15 : 0) << i;
  EXPECT_EQ(fit_log_scales(std::vector<float>(40, 2.0f)).step, 0);
  EXPECT_EQ(fit_log_scales(std::vector<float>(4, 0.0f)).step, 0);
  const ScaleFit far = fit_log_scales(std::vector<float>{1e-30f, 1, 0.5f, 1e-6f, 1});
  EXPECT_EQ(far.step, kGreatestScaleStep);
  EXPECT_EQ(far.codes, (std::vector<uint16_t>{0, 15, 14, 0, 15}));
}

// A few rows of next to nothing, beside others: these are stored as they are without them, not as zeros.
TEST(Gptvq, ScalesOfSmallRunsDoNotCostGreatOnes) {
  constexpr int64_t kSide = 256;
  const DenseMatrix w = normal_matrix(kSide, kSide, 6);
  const InputStatistics inputs = inputs_of(kSide);
  for (const Rounding& rounding : {Rounding(GptvqRounding{}), Rounding(VectorKMeansRounding{})}) {
    const double without = *round_by_data(rounding, w, "vq8-g4-s64", &inputs).report.output_error;
    DenseMatrix small = w;
    for (size_t i = 0; i < 8 * kSide; ++i) small.values()[i] *= 2e-5f;
    const Rounded with = round_by_data(rounding, small, "vq8-g4-s64", &inputs);
    EXPECT_LT(*with.report.output_error, 1.1 * without);
    const std::vector<float> q = with.matrix->decode_all();
    double error = 0, norm = 0;
    for (size_t i = 0; i < 8 * kSide; ++i) {
      error += std::pow(static_cast<double>(q[i]) - static_cast<double>(small.values()[i]), 2);
      norm += std::pow(static_cast<double>(small.values()[i]), 2);
    }
    EXPECT_LT(error, norm) << "small rows are better than zeros";
  }
}

// Weights whose size differs from run to run of a row: scales are worth more than three times the bits they take.
TEST(Gptvq, ScalesServeRunsOfDifferentSize) {
  constexpr int64_t kSide = 256;
  DenseMatrix w = normal_matrix(kSide, kSide, 6);
  Rng rng(8, 8);
  for (size_t run = 0; run < kSide * kSide / 32; ++run) {
    const auto size = static_cast<float>(std::exp2(4 * rng.uniform()));
    for (size_t i = 0; i < 32; ++i) w.values()[run * 32 + i] *= size;
  }
  const InputStatistics inputs = inputs_of(kSide);
  for (const Rounding& rounding : {Rounding(GptvqRounding{}), Rounding(VectorKMeansRounding{})}) {
    const Rounded with = round_by_data(rounding, w, "vq8-g4-s32", &inputs);
    const Rounded without = round_by_data(rounding, w, "vq8-g4", &inputs);
    const Rounded wider = round_by_data(rounding, w, "vq8-g4-r64", &inputs);
    EXPECT_LT(*with.report.output_error, 0.8 * *without.report.output_error);
    EXPECT_LT(*with.report.output_error, *wider.report.output_error);
    EXPECT_LT(with.matrix->true_bits() - without.matrix->true_bits(), 0.126);
    EXPECT_GT(wider.matrix->true_bits() - without.matrix->true_bits(), 0.37);
  }
}

TEST(Gptvq, DeadColumnsCountAsZeros) {
  DenseMatrix w = normal_matrix(32, 32, 8);
  for (size_t r = 0; r < 32; ++r) w.values()[r * 32 + 3] = 100;
  ThreadPool threads(1);
  const InputStatistics inputs = testing::correlated_inputs(
      32, 400, 0.5f, [](int64_t c) { return c == 3 ? 0.0f : 1.0f; }, threads);
  const std::vector<float> q = round_by_data(GptvqRounding{}, w, "vq4-g2", &inputs).matrix->decode_all();
  for (size_t r = 0; r < 32; ++r) EXPECT_LT(std::abs(q[r * 32 + 3]), 1) << r;
}

// However small what is live: a column that nothing reads takes no entry from the others.
TEST(Gptvq, DeadColumnsCostLiveOnesNothing) {
  DenseMatrix w = normal_matrix(64, 64, 8);
  ThreadPool threads(1);
  const auto error_of_live = [&](float dead) {
    const InputStatistics inputs = testing::correlated_inputs(
        64, 400, 0.0f, [&](int64_t c) { return c % 16 == 3 ? dead : 1e-2f; }, threads);
    const std::vector<float> q = round_by_data(GptvqRounding{}, w, "vq4-g2", &inputs).matrix->decode_all();
    double sum = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      if (i % 16 != 3) sum += std::pow(static_cast<double>(w.values()[i]) - static_cast<double>(q[i]), 2);
    }
    return sum;
  };
  EXPECT_LT(error_of_live(0), error_of_live(1e-2f));
}

TEST(Gptvq, RotatedAndGuidedToo) {
  const DenseMatrix w = normal_matrix(64, 64, 9);
  const InputStatistics inputs = inputs_of(64);
  const Rounded rounded = round_by_data(GptvqRounding{}, w, "vq4-g2+frame-in64-out64", &inputs);
  rounded.matrix->check_values("w");
  EXPECT_LT(*rounded.report.output_error, 0.2);
  // Moments of the matrix's own, alike those of its inputs: the same codes.
  GuidedMoments guided(64, 64, Needs{.guided_moment = true});
  guided.weighted.moment = *inputs.moment;
  ThreadPool threads(1);
  Ranks alone;
  InputCache cache;
  const auto own = round_matrix(GptvqRounding{.guided = true},
                                {"w", w, parse_target("vq4-g2"), &inputs, cache, alone, threads, &guided});
  EXPECT_EQ(own.matrix->decode_all(), round_by_data(GptvqRounding{}, w, "vq4-g2", &inputs).matrix->decode_all());
}

TEST(Gptvq, RefusesWhatItCannotRound) {
  DenseMatrix w = normal_matrix(4, 8, 1);
  const InputStatistics inputs = inputs_of(8, 50), unseen(8);
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { round_by_data(GptvqRounding{}, w, "vq4-g2", &unseen); }),
              HasSubstr("w: "));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { round_by_data(GptvqRounding{}, w, "aq2x4-g8", &inputs); }),
              HasSubstr("w: "));
  w.values()[9] = std::numeric_limits<float>::quiet_NaN();
  for (const Rounding& rounding : {Rounding(GptvqRounding{}), Rounding(VectorKMeansRounding{})}) {
    EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { round_by_data(rounding, w, "vq4-g2", &inputs); }),
                HasSubstr("w: weight [1, 1] is"));
  }
}

}  // namespace
}  // namespace bitloom
