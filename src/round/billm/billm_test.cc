#include "round/billm/billm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "format/families/planes/planes_storage.h"
#include "round/billm/plane_columns.h"
#include "round/column_loop/column_loop.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using Feedback = BillmRounding::Feedback;
using Parity = BillmRounding::Parity;

constexpr int64_t kRows = 100, kCols = 144;  // in blocks of 64 the last has 16 columns

/// Nothing is ever read of the channel called `dead`.
InputStatistics inputs_of(ThreadPool& threads, int64_t dead = -1) {
  const auto size = [dead](int64_t c) { return c == dead ? 0.0f : 0.5f + static_cast<float>(c % 4) / 2; };
  return testing::correlated_inputs(kCols, 500, 0.7f, size, threads);
}

Rounded round_with(const BillmRounding& options, const RowSource& w, const char* storage, const InputStatistics& inputs,
                   ThreadPool& threads) {
  InputCache shared;
  Ranks ranks;
  Rounded rounded = round_matrix(Rounding(options), {"w", w, parse_target(storage), &inputs, shared, ranks, threads});
  rounded.matrix->check_values("w");
  return rounded;
}

double error_with(const BillmRounding& options, const RowSource& w, const char* storage, const InputStatistics& inputs,
                  ThreadPool& threads) {
  return *round_with(options, w, storage, inputs, threads).report.output_error;
}

TEST(Billm, EachStepOfFeedbackHelps) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const auto error = [&](Feedback feedback) {
    return error_with({.feedback = feedback, .groups = BillmRounding::Groups::kFixed}, w, "planes-g64", inputs,
                      threads);
  };
  const double sequential = error(Feedback::kSequential), triangular = error(Feedback::kTriangular),
               diagonal = error(Feedback::kDiagonal);
  EXPECT_LT(sequential, 0.9 * triangular);
  EXPECT_LT(triangular, diagonal);
}

TEST(Billm, RefinementFreeGroupsAndSmallerBlocksHelp) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const double plain = error_with({}, w, "planes-g64", inputs, threads);
  EXPECT_LT(error_with({.refine = 8}, w, "planes-g64", inputs, threads), 0.95 * plain);
  EXPECT_LT(plain, 0.8 * error_with({.groups = BillmRounding::Groups::kFixed}, w, "planes-g64", inputs, threads));
  EXPECT_LT(plain, error_with({}, w, "planes-g64-residual", inputs, threads));
  // Smaller blocks, more levels.
  EXPECT_LT(error_with({}, w, "planes-g32", inputs, threads), plain);
  // fp8 levels hardly cost anything.
  EXPECT_LT(error_with({}, w, "planes-g64-fp8", inputs, threads), 1.1 * plain);
}

TEST(Billm, OursBeatsThePaperAndItsCode) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  const Rounded ours = round_with({}, w, "planes-g64", inputs, threads);
  const Rounded code = round_with({.parity = Parity::kCode}, w, "planes-g64", inputs, threads);
  const Rounded paper = round_with({.parity = Parity::kPaper}, w, "planes-g64-zeromean", inputs, threads);
  EXPECT_LT(*ours.report.output_error, *code.report.output_error);
  EXPECT_LT(*ours.report.output_error, *paper.report.output_error);
  for (const Rounded* rounded : {&ours, &code, &paper}) {
    EXPECT_GT(rounded->matrix->nominal_bits(), 1);
    EXPECT_LT(rounded->matrix->nominal_bits(), 1.5);
  }
  // Two bits a weight, a flag a column, seven fp16 for each row and each of three blocks.
  EXPECT_DOUBLE_EQ(ours.matrix->true_bits(), 1.12 * (2 + 3 * 7 * 16.0 / kCols) + 1.0 / kRows);
}

TEST(Billm, LoopAndDefinitionAgree) {
  ThreadPool threads(2);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 5);
  const InputStatistics inputs = inputs_of(threads);
  const GptqFactor factor = make_gptq_factor(*inputs.moment, nullptr, {}, 32, threads);
  const std::vector<float> costs = factor.error_costs(), original = w.decode_all();
  const Storage storage = parse_storage("planes-g32");
  const std::string place = "w";
  for (const Feedback feedback : {Feedback::kSequential, Feedback::kTriangular, Feedback::kDiagonal}) {
    const auto loss = [&](bool reference) {
      const auto policies =
          make_plane_policies({place, w, storage, factor.order, costs, {.feedback = feedback}}, threads);
      const auto policy = policies->policy({0, kRows});
      std::vector<float> columns(original.size()), errors(original.size());
      for (int64_t p = 0; p < kCols; ++p) {
        for (int64_t r = 0; r < kRows; ++r) {
          columns[static_cast<size_t>(p * kRows + r)] =
              original[static_cast<size_t>(r * kCols + factor.order[static_cast<size_t>(p)])];
        }
      }
      const ColumnFeedback data{factor.channels, factor.u.data(), nullptr};
      const double total = reference ? column_loop_reference(data, columns.data(), errors.data(), kRows, *policy)
                                     : column_loop(data, columns.data(), errors.data(), kRows, *policy, &threads);
      policies->store({0, kRows}, policy->chosen());
      const std::vector<float> decoded = policies->finish("w")->decode_all();
      std::vector<float> column(static_cast<size_t>(kRows));
      for (int64_t p = 0; p < kCols; ++p) {
        policy->decode_column(p, column.data());
        for (int64_t r = 0; r < kRows; ++r) {
          EXPECT_EQ(column[static_cast<size_t>(r)],
                    decoded[static_cast<size_t>(r * kCols + factor.order[static_cast<size_t>(p)])]);
        }
      }
      return total;
    };
    // A weight at a tie may take the other value, and what follows it.
    const double expected = loss(true);
    EXPECT_NEAR(loss(false), expected, 0.01 * expected) << static_cast<int>(feedback);
  }
}

TEST(Billm, TheSameBytesForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(one);
  EXPECT_EQ(round_with({.refine = 3}, w, "planes-g64", inputs, one).matrix->decode_all(),
            round_with({.refine = 3}, w, "planes-g64", inputs, three).matrix->decode_all());
}

TEST(Billm, DeadColumnsAndBlocksOfOneColumnAreNoProblem) {
  ThreadPool threads(2);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  std::fill(w.values().begin(), w.values().begin() + kCols, 0.0f);
  const InputStatistics inputs = inputs_of(threads, 7);
  for (const char* storage : {"planes-g1", "planes-g11", "planes-g512", "planes-g64-fp8"}) {
    EXPECT_LT(error_with({.refine = 2}, w, storage, inputs, threads), 0.3) << storage;
  }
}

TEST(Billm, RefusesWhatMeansNothing) {
  ThreadPool threads(1);
  DenseMatrix w = testing::normal_matrix(kRows, kCols, 3);
  const InputStatistics inputs = inputs_of(threads);
  EXPECT_THAT(
      testing::message_of(ErrorKind::kUsage,
                          [&] { round_with({.order = ColumnOrder::kActivation}, w, "planes-g64", inputs, threads); }),
      HasSubstr("act-order takes the blocks of planes-g64 apart"));
  w.values()[3] = INFINITY;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with({}, w, "planes-g64", inputs, threads); }),
              HasSubstr("w: weight [0, 3] is inf"));
}

}  // namespace
}  // namespace bitloom
