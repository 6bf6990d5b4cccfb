#include "round/hqq/hqq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/test_data.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

/// tests/oracle/round_hqq.py
std::map<std::string, std::vector<double>> golden_lines() {
  std::map<std::string, std::vector<double>> lines;
  std::ifstream file(testing::golden("round/hqq.txt"));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double x = 0; words >> x;) lines[name].push_back(x);
  }
  return lines;
}

// Both work in double; sums in another order move a zero point by some 1e-14, and no code lies that close to a tie.
TEST(Hqq, ZeroPointsAreThoseOfTheUpdateEquations) {
  const auto lines = golden_lines();
  const auto cols = static_cast<size_t>(lines.at("cols")[0]);
  const std::vector<double>& w = lines.at("w");
  int moved = 0;
  for (const int bits : {2, 3, 4}) {
    for (const bool in_steps : {false, true}) {
      HqqRounding options;
      if (!in_steps) options.parity = HqqRounding::Parity::kCode;
      const std::string suffix = "_" + std::to_string(bits) + (in_steps ? "_step" : "_one");
      for (size_t g = 0; g < w.size() / cols; ++g) {
        const std::vector<float> group(w.begin() + static_cast<ptrdiff_t>(g * cols),
                                       w.begin() + static_cast<ptrdiff_t>((g + 1) * cols));
        const auto [low, high] = std::minmax_element(group.begin(), group.end());
        const double scale = (static_cast<double>(*high) - static_cast<double>(*low)) / ((1 << bits) - 1);
        const HqqScale s = half_quadratic(group, bits, options, {scale, -static_cast<double>(*low) / scale});
        EXPECT_NEAR(s.scale, lines.at("scale" + suffix)[g], 1e-12) << suffix << " " << g;
        EXPECT_NEAR(s.zero, lines.at("zero" + suffix)[g], 1e-10) << suffix << " " << g;
        moved += std::abs(s.zero + static_cast<double>(*low) / s.scale) > 1e-6 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(moved, 30) << "zero points of the range alone would agree too";
}

Rounded round_with(const RowSource& w, const char* storage, const HqqRounding& options, int threads = 2) {
  ThreadPool pool(threads);
  InputCache shared;
  Ranks ranks;
  Rounded rounded = round_matrix(Rounding(options), {"w", w, parse_target(storage), nullptr, shared, ranks, pool});
  rounded.matrix->check_values("w");
  return rounded;
}

double absolute_power(const DenseMatrix& w, const StoredMatrix& q, double p) {
  const std::vector<float> a = w.decode_all(), b = q.decode_all();
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(std::abs(static_cast<double>(a[i] - b[i])), p);
  return sum;
}

/// Squares decide between ranges unless told otherwise.
TEST(Hqq, TurnsMakeTheNormSmallerAndRangesTheirs) {
  const DenseMatrix w = testing::normal_matrix(40, 200, 3, 0.2);
  for (const char* storage : {"affine2-g64", "affine3-g64", "affine4-g64"}) {
    constexpr auto kReal = HqqRounding::Zeros::kReal;
    const HqqRounding range{.iterations = 0, .ranges = 1, .zeros = kReal};
    const double none = absolute_power(w, *round_with(w, storage, range).matrix, 0.7);
    const double code = absolute_power(w, *round_with(w, storage, {.parity = HqqRounding::Parity::kCode}).matrix, 0.7);
    const double same = absolute_power(w, *round_with(w, storage, {.choice = 0.7, .zeros = kReal}).matrix, 0.7);
    EXPECT_LT(code, none) << storage;
    EXPECT_LT(same, 0.99 * code) << storage;
    EXPECT_LT(round_with(w, storage, {.zeros = kReal}).report.weight_error,
              0.99 * round_with(w, storage, {.parity = HqqRounding::Parity::kCode}).report.weight_error);
  }
}

// What inputs of large energy need: columns of small weights err by no more than these.
TEST(Hqq, GroupsWithASmallColumnHaveALevelOfZero) {
  constexpr auto kReal = HqqRounding::Zeros::kReal;
  DenseMatrix w = testing::normal_matrix(48, 128, 3, 0.2);
  for (int64_t r = 0; r < 48; ++r) w.values()[static_cast<size_t>(r * 128 + 5)] *= 0.01f;
  for (const char* storage : {"affine2-g64", "affine3-g64", "affine3-g64-s6x16", "affine4-g64-s6x16"}) {
    const std::vector<float> q = round_with(w, storage, {}).matrix->decode_all();
    const std::vector<float> real = round_with(w, storage, {.zeros = kReal}).matrix->decode_all();
    float greatest = 0, greatest_real = 0;
    for (size_t at = 0; at < q.size(); ++at) {
      if (at % 128 == 5) greatest = std::max(greatest, std::abs(q[at]));
      if (at % 128 == 5) greatest_real = std::max(greatest_real, std::abs(real[at]));
      if (at % 128 >= 64) {
        ASSERT_EQ(q[at], real[at]) << storage << " " << at;
      }
    }
    EXPECT_EQ(greatest, 0) << storage;
    EXPECT_GT(greatest_real, 0.01f) << storage;
  }
}

// Zero points of 16 rows that are too far apart for two bits, or of which one is not whole, are as any others.
TEST(Hqq, WholeZeroPointsThatCodesCannotHoldAreReal) {
  constexpr auto kReal = HqqRounding::Zeros::kReal, kWhole = HqqRounding::Zeros::kWhole;
  const DenseMatrix w = testing::normal_matrix(16, 128, 3, 0.2);
  DenseMatrix one_sided = w;
  for (size_t c = 0; c < 128; ++c) one_sided.values()[3 * 128 + c] = 1 + std::abs(w.values()[3 * 128 + c]);
  const auto error = [](const DenseMatrix& of, const char* storage, HqqRounding::Zeros zeros) {
    return round_with(of, storage, {.zeros = zeros}).report.weight_error;
  };
  for (const char* storage : {"affine4-g64-s2x16", "affine3-g64-s6x16"}) {
    EXPECT_LE(error(one_sided, storage, kWhole), error(one_sided, storage, kReal)) << storage;
  }
  EXPECT_LE(error(w, "affine4-g64-s2x16", kWhole), error(w, "affine4-g64-s2x16", kReal));
}

TEST(Hqq, OneBitHasRealZeroPoints) {
  const DenseMatrix w = testing::normal_matrix(16, 64, 3);
  // Of two levels one would be 0; the best of a normal distribution err by 0.363.
  EXPECT_LT(round_with(w, "affine1-g64", {.zeros = HqqRounding::Zeros::kWhole}).report.weight_error, 0.45);
}

TEST(Hqq, WeightsOnOneSideOfZeroHaveLevelsThereAlone) {
  const HqqScale s = solve_hqq({10, 10.5, 11, 12, 13, 13.5}, 3, {}, true);
  EXPECT_DOUBLE_EQ(s.scale, 0.5);
  EXPECT_DOUBLE_EQ(s.zero, -20);
}

TEST(Hqq, BitsAreTheAuthorsAndTheFiles) {
  const DenseMatrix w = testing::normal_matrix(32, 128, 3);
  const auto matrix = round_with(w, "affine4-g64", {}).matrix;
  EXPECT_DOUBLE_EQ(matrix->nominal_bits(), 4.5);
  EXPECT_DOUBLE_EQ(matrix->true_bits(), 4.5);
  EXPECT_DOUBLE_EQ(round_with(w, "affine4-g64-s6x16", {}).matrix->true_bits(), 4 + 0.25 + 64.0 / (64 * 16));
}

TEST(Hqq, TheReportIsOfWhatIsStoredForAnyNumberOfThreads) {
  DenseMatrix w = testing::normal_matrix(300, 100, 3);
  std::fill(w.values().begin(), w.values().begin() + 64, 0.0f);  // a group of zeros
  for (const char* storage : {"affine3-g64", "affine3-g64-s3x16"}) {
    const Rounded rounded = round_with(w, storage, {.ranges = 2}, 1);
    const std::vector<float> a = w.decode_all(), b = rounded.matrix->decode_all();
    double error = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double x = a[i], difference = x - static_cast<double>(b[i]);
      error += difference * difference, norm += x * x;
    }
    EXPECT_NEAR(rounded.report.weight_error, error / norm, 1e-9);
    EXPECT_EQ(rounded.report.zero_groups, 1);
    EXPECT_EQ(b[0], 0);
    EXPECT_EQ(b, round_with(w, storage, {.ranges = 2}, 3).matrix->decode_all());
  }
}

// What is left for an expert that calibration hardly reached, whatever its method.
TEST(Hqq, ServesEveryAffineStorageWithoutData) {
  const DenseMatrix w = testing::normal_matrix(32, 96, 3);
  const auto plain = round_with(w, "affine2-g32-s6x16", {}).matrix;
  EXPECT_EQ(round_with(w, "affine2-g32-mixed-s6x16", {}).matrix->decode_all(), plain->decode_all());
  for (const char* storage : {"affine2-g128-mixed-s6x16", "affine3-g16-s3x16", "affine4-g64"}) {
    EXPECT_EQ(rounding_without_data(parse_storage(storage)), Rounding(HqqRounding{}));
  }
}

TEST(Hqq, RefusesWhatMeansNothing) {
  DenseMatrix w = testing::normal_matrix(8, 64, 3);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { round_with(w, "int4-g32", {}); }),
              HasSubstr("w: 'hqq' cannot choose codes of int4-g32"));
  w.values()[70] = NAN;
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { round_with(w, "affine4-g64", {}); }),
              HasSubstr("w: weight [1, 6] is nan"));
}

}  // namespace
}  // namespace bitloom
