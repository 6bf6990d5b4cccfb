#include "round/fitted/fit_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "base/rng.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

double normal(Rng& rng) { return rng.normal(); }
double laplace(Rng& rng) {
  const double u = rng.uniform() - 0.5;
  return std::copysign(std::log(1 - 2 * std::abs(u)), u);
}
/// Student's t with 4 degrees of freedom.
double student(Rng& rng) {
  double squares = 0;
  for (int i = 0; i < 4; ++i) {
    const double z = rng.normal();
    squares += z * z;
  }
  return rng.normal() / std::sqrt(squares / 4);
}

DenseMatrix drawn(int64_t rows, int64_t cols, double (*draw)(Rng&)) {
  Rng rng(3, 5);
  std::vector<float> w(static_cast<size_t>(rows * cols));
  for (float& x : w) x = static_cast<float>(draw(rng));
  return {rows, cols, std::move(w)};
}

std::string fitted(const std::string& target, std::vector<const RowSource*> matrices, int threads_count = 2) {
  ThreadPool threads(threads_count);
  return to_string(fitted_target(parse_target(target), matrices, threads));
}

float exponent(const std::string& target) {
  const Format format = parse_grid_target(target).storage.format;
  return exponent_of(std::get<TableFormat>(format)).value_or(0);
}

// papers' learned-and-vector page, 4.2: rows' maxima scatter, so that 256 rows tell a* to 0.02 (heavy tails: 0.05) and
// the error to 3 %. The page rounds |w|^a; nearest levels err less.
TEST(FitFormat, ExponentsOfThePagesTable) {
  struct Row {
    double (*draw)(Rng&);
    int64_t cols;
    const char* bits;
    double exponent, error, slack;
  };
  for (const Row& row :
       {Row{normal, 4096, "pow4-row", .69, .01807, .02}, Row{normal, 128, "pow4-row", .77, .01172, .02},
        Row{normal, 4096, "pow3-row", .69, .1023, .03}, Row{laplace, 4096, "pow4-row", .54, .0301, .04},
        Row{student, 4096, "pow4-row", .45, .0489, .05}}) {
    const DenseMatrix w = drawn(row.cols == 128 ? 2048 : 256, row.cols, row.draw);
    const std::string target = fitted(row.bits, {&w});
    EXPECT_NEAR(exponent(target), row.exponent, row.slack) << target;
    const double error = testing::error_of(w, target);
    EXPECT_LT(error, 1.03 * row.error) << target;
    EXPECT_GT(error, 0.85 * row.error) << target;
  }
}

// The same table: clip and exponent together beat either alone; .0121 and .0469 of normal weights with one clip for all
// rows.
TEST(FitFormat, ExponentAndClipTogetherBeatEitherAlone) {
  const DenseMatrix w = drawn(64, 4096, normal);
  for (const auto& [bits, joint, gain] : {std::tuple("4", .0121, .95), std::tuple("3", .0469, .97)}) {
    const std::string power = fitted(std::string("pow") + bits + "-row", {&w});
    const std::string both = fitted(std::string("pow") + bits + "-row-mse", {&w});
    const double error = testing::error_of(w, both);
    EXPECT_LT(error, 1.01 * joint) << both;
    EXPECT_LT(error, gain * testing::error_of(w, std::string("int") + bits + "-narrow-row-mse")) << both;
    EXPECT_LT(error, 0.75 * testing::error_of(w, power)) << both;
  }
}

TEST(FitFormat, TablesBeatThoseOfTheField) {
  const DenseMatrix w = testing::normal_matrix(64, 256, 5);
  for (const auto& [open, known] :
       {std::pair("table4-g32-mse", "iq4nl-g32-mse"), std::pair("table4-g64", "nf4-g64"),
        std::pair("table4-g32-mse", "nf4-g32-mse"), std::pair("table3-g32-mse", "int3-g32-mse"),
        std::pair("table2-g32-mse", "int2-g32-mse"), std::pair("table4-row-mse", "pow4[0.8]-row-mse")}) {
    const std::string target = fitted(open, {&w});
    EXPECT_LT(testing::error_of(w, target), testing::error_of(w, known)) << target;
  }
}

// On a unit Gaussian 16 levels err by .00950 at best (Lloyd-Max), 4 by .1175: one scale lets a table get there, up to
// the rounding of its levels to bytes.
TEST(FitFormat, OneScaleGivesLloydsLevels) {
  const DenseMatrix w = drawn(64, 1024, normal);
  EXPECT_NEAR(testing::error_of(w, fitted("table4-tensor-mse", {&w})), .0095, .0003);
  EXPECT_NEAR(testing::error_of(w, fitted("table2-tensor-mse", {&w})), .1175, .003);
}

TEST(FitFormat, LevelsAreDistinctBytesWithTheGreatest127) {
  const DenseMatrix w = testing::normal_matrix(64, 256, 6), three(1, 4, {-1, 0, 0, 1}),
                    zeros(2, 4, std::vector<float>(8));
  for (const DenseMatrix* matrix : {&w, &three, &zeros}) {
    const GridTarget target = parse_grid_target(fitted("table4-g32-mse", {matrix}));
    const std::vector<float> levels = grid_of(target.storage.format).levels;
    ASSERT_EQ(levels.size(), 16u);
    float greatest = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      EXPECT_EQ(levels[i], std::nearbyint(levels[i]));
      EXPECT_TRUE(i == 0 || levels[i - 1] < levels[i]);
      greatest = std::max(greatest, std::abs(levels[i]));
    }
    EXPECT_EQ(greatest, 127);
  }
}

TEST(FitFormat, OneFitServesAllItsMatrices) {
  const DenseMatrix flat = drawn(32, 512, normal), peaked = drawn(32, 512, student);
  const float of_flat = exponent(fitted("pow4-row", {&flat})), of_peaked = exponent(fitted("pow4-row", {&peaked}));
  const float of_both = exponent(fitted("pow4-row", {&flat, &peaked}));
  EXPECT_LT(of_peaked, of_both);
  EXPECT_LT(of_both, of_flat);
}

// Twenty small matrices and one with as many weights as all of them: errors of tables add up by weights.
TEST(FitFormat, MatricesCountByTheirSize) {
  const DenseMatrix peaked = drawn(64, 512, student), large = drawn(16384, 512, normal);
  const auto outermost = [](const std::string& target) {
    const Format format = parse_grid_target(target).storage.format;
    const std::vector<float>& levels = std::get<TableFormat>(format).levels;
    return levels[levels.size() - 2] / levels.back();
  };
  const float of_both = outermost(fitted("table4-row", {&peaked, &large}));
  const float of_large = outermost(fitted("table4-row", {&large}));
  const float of_peaked = outermost(fitted("table4-row", {&peaked}));
  EXPECT_GT(std::abs(of_large - of_peaked), 0.02F);
  EXPECT_LT(std::abs(of_both - of_large), std::abs(of_both - of_peaked) / 4);
}

TEST(FitFormat, OfEqualExponentsOneIsTaken) {
  const DenseMatrix w = drawn(8, 64, normal);
  EXPECT_EQ(fitted("pow2-row", {&w}), "pow2[1]-row");
}

TEST(FitFormat, RowsThatAreNotFiniteAreLeftOut) {
  DenseMatrix w = testing::normal_matrix(16, 64, 7);
  std::vector<float> without(w.values().begin() + 64, w.values().end());
  w.values()[5] = std::numeric_limits<float>::quiet_NaN();
  const DenseMatrix rest(15, 64, without);
  EXPECT_EQ(fitted("table4-row", {&w}), fitted("table4-row", {&rest}));
}

TEST(FitFormat, TheSameForAnyNumberOfThreads) {
  const DenseMatrix w = testing::normal_matrix(100, 256, 8);
  for (const char* target : {"pow4-g32-mse", "table3-row-mse"}) {
    EXPECT_EQ(fitted(target, {&w}, 1), fitted(target, {&w}, 3)) << target;
  }
}

TEST(FitFormat, KeepsEverythingElseOfTheTarget) {
  const DenseMatrix w = testing::normal_matrix(16, 64, 9);
  EXPECT_EQ(fitted("pow4[0.7]-g32-mse", {&w}), "pow4[0.7]-g32-mse");
  EXPECT_EQ(fitted("codebook3-col", {&w}), "codebook3-col");
  const std::string target = fitted("pow4[matrix]-g32-bf16-mse+lowrank2-int8-row", {&w});
  EXPECT_TRUE(target.starts_with("pow4[0.")) << target;
  EXPECT_TRUE(target.ends_with("]-g32-bf16-mse+lowrank2-int8-row")) << target;
}

// A frame makes normal weights of any.
TEST(FitFormat, OfAFrameTheFitIsToNormalWeights) {
  const DenseMatrix peaked = drawn(32, 1024, student), even = drawn(32, 1024, normal);
  EXPECT_EQ(fitted("pow4-row+frame-in64-out64", {&peaked}), fitted("pow4-row+frame-in64-out64", {&even}));
}

}  // namespace
}  // namespace bitloom
