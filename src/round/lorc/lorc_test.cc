#include "round/lorc/lorc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/test_data.h"
#include "linalg/leading_vectors.h"
#include "round/gptq/gptq.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using Codes = LorcRounding::Codes;
using testing::correlated_inputs;
using testing::normal_matrix;

Rounded round(const Rounding& rounding, const RowSource& w, const std::string& target, const InputStatistics* inputs) {
  ThreadPool threads(2);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), inputs, cache, alone, threads});
}

InputStatistics some_inputs(int64_t channels) {
  ThreadPool threads(2);
  return correlated_inputs(
      channels, 400, 0.6f, [](int64_t c) { return c % 9 == 0 ? 8.0f : 0.5f + 0.01f * static_cast<float>(c); }, threads);
}

double squared_norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

std::vector<float> difference(const DenseMatrix& w, const StoredMatrix& q) {
  std::vector<float> e = q.decode_all();
  for (size_t i = 0; i < e.size(); ++i) e[i] = w.values()[i] - e[i];
  return e;
}

/// Squares of the singular values of e [rows, cols], rows <= cols, greatest first.
std::vector<double> singular_squares(const std::vector<float>& e, int64_t rows, int64_t cols) {
  std::vector<double> gram(static_cast<size_t>(rows * rows)), squares;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < rows; ++j) {
      for (int64_t c = 0; c < cols; ++c) {
        gram[static_cast<size_t>(i * rows + j)] += static_cast<double>(e[static_cast<size_t>(i * cols + c)]) *
                                                   static_cast<double>(e[static_cast<size_t>(j * cols + c)]);
      }
    }
  }
  jacobi_eigenvectors(gram.data(), rows);
  for (int64_t i = 0; i < rows; ++i) squares.push_back(gram[static_cast<size_t>(i * rows + i)]);
  std::sort(squares.rbegin(), squares.rend());
  return squares;
}

// |E - A B|^2 is what the other singular values hold (Eckart and Young); storing the factors in 8 bits costs less than
// 2 % of what they gain.
TEST(Lorc, LeavesTheOtherSingularValues) {
  constexpr int64_t kRows = 64, kCols = 96;
  const DenseMatrix w = normal_matrix(kRows, kCols, 1);
  const std::vector<float> lost = difference(w, *round(NearestRounding{}, w, "int3-g32", nullptr).matrix);
  const std::vector<double> squares = singular_squares(lost, kRows, kCols);
  for (const int64_t rank : {1, 8, 32}) {
    double left = 0;
    for (int64_t i = rank; i < kRows; ++i) left += squares[static_cast<size_t>(i)];
    const double gain = squared_norm(lost) - left;
    for (const std::string factors : {"int8-row", "e4m3fn-row"}) {
      const std::string target = "int3-g32+lowrank" + std::to_string(rank) + "-" + factors;
      const Rounded rounded = round(LorcRounding{.codes = Codes::kNearest}, w, target, nullptr);
      EXPECT_EQ(to_string(rounded.matrix->spec()), target);
      const double after = squared_norm(difference(w, *rounded.matrix));
      EXPECT_NEAR(rounded.report.weight_error, after / squared_norm(w.values()), 1e-6);
      EXPECT_GE(after, left * (1 - 1e-5)) << target;
      EXPECT_LT(after, left + 0.02 * gain) << target;
    }
  }
}

TEST(Lorc, OfFullRankCorrectsEverything) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{24, 40}, {40, 24}}) {
    const DenseMatrix w = normal_matrix(rows, cols, 2);
    const double before = round(NearestRounding{}, w, "int2-g8", nullptr).report.weight_error;
    const Rounded all = round(LorcRounding{.codes = Codes::kNearest}, w, "int2-g8+lowrank64-int8-row", nullptr);
    EXPECT_LT(all.report.weight_error, 1e-3 * before) << "but for the 8 bits of the factors";
  }
}

// The weighed product never raises the outputs' error, and lowers it more than the other.
TEST(Lorc, WeighedIsTheBestForTheOutputs) {
  const DenseMatrix w = normal_matrix(80, 64, 3);
  const InputStatistics inputs = some_inputs(64);
  for (const Codes codes : {Codes::kNearest, Codes::kGptq}) {
    for (const std::string base : {"int3-g32", "e2m1-g64-m1"}) {
      const std::string target = base + "+lowrank6-int8-row";
      const Rounding method = codes == Codes::kGptq ? Rounding(GptqRounding{}) : Rounding(NearestRounding{});
      const Rounded without = round(method, w, base, &inputs);
      const Rounded plain = round(LorcRounding{.codes = codes}, w, target, &inputs);
      const Rounded weighed = round(LorcRounding{.codes = codes, .weighted = true}, w, target, &inputs);
      EXPECT_LT(plain.report.weight_error, without.report.weight_error) << target;
      EXPECT_LT(*weighed.report.output_error, 0.9 * *without.report.output_error) << target;
      EXPECT_LT(*weighed.report.output_error, *plain.report.output_error) << target;
      EXPECT_TRUE(weighed.report.remarks.empty());
      weighed.matrix->check_values("w");
    }
  }
}

// Codes of what the product leaves, then the product anew: LoftQ's turns, of which the best is kept.
TEST(Lorc, TurnsLowerTheError) {
  const DenseMatrix w = normal_matrix(64, 96, 5);
  double before = 1;
  for (const int64_t rounds : {1, 2, 5}) {
    const LorcRounding options{.codes = Codes::kNearest, .rounds = rounds};
    const Rounded rounded = round(options, w, "int2-g32-asym+lowrank8-int8-row", nullptr);
    EXPECT_NEAR(rounded.report.weight_error, squared_norm(difference(w, *rounded.matrix)) / squared_norm(w.values()),
                1e-6);
    EXPECT_LT(rounded.report.weight_error, before) << rounds;
    before = rounded.report.weight_error;
  }
}

// Nothing was lost, so nothing is added.
TEST(Lorc, OfNothingIsNothing) {
  DenseMatrix w = normal_matrix(16, 32, 4);
  for (float& value : w.values()) value = value > 0 ? 7.0f : -7.0f;
  const Rounded rounded =
      round(LorcRounding{.codes = Codes::kNearest}, w, "int4-narrow-row+lowrank4-int8-row", nullptr);
  EXPECT_EQ(rounded.report.weight_error, 0);
}

TEST(Lorc, ServesLowRankStoragesWithoutData) {
  for (const char* storage : {"int4-g32+lowrank4-int8-row", "e2m1-g256+lowrank8-e4m3fn-row"}) {
    EXPECT_EQ(rounding_without_data(parse_storage(storage)), Rounding(LorcRounding{.codes = Codes::kNearest}));
  }
}

TEST(Lorc, RoundsOntoWhatTheOtherMethodRoundsOnto) {
  const auto can = [](const LorcRounding& options, const char* storage) {
    return rounds_onto(Rounding(options), parse_storage(storage));
  };
  for (const Codes codes : {Codes::kGptq, Codes::kNearest}) {
    EXPECT_TRUE(can({.codes = codes}, "int4-g128+lowrank8-int8-row"));
    EXPECT_TRUE(can({.codes = codes}, "e2m1-g256+lowrank8-e4m3fn-row+frame-in32"));
    EXPECT_FALSE(can({.codes = codes}, "int4-g128"));
    EXPECT_FALSE(can({.codes = codes}, "trellis2+lowrank8-int8-row"));
  }
  EXPECT_TRUE(can({.codes = Codes::kGptq}, "codebook3-col+lowrank8-int8-row"));
  EXPECT_FALSE(can({.codes = Codes::kNearest}, "codebook3-col+lowrank8-int8-row"));
  EXPECT_FALSE(needs_of(LorcRounding{.codes = Codes::kNearest}).any());
  EXPECT_TRUE(needs_of(LorcRounding{.codes = Codes::kNearest, .weighted = true}).second_moment);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage,
                                  [&] { round(LorcRounding{}, normal_matrix(8, 16, 1), "int4-g16", nullptr); }),
              ::testing::HasSubstr("'lorc' cannot choose codes of int4-g16"));
}

}  // namespace
}  // namespace bitloom
