#include "round/vector/aqlm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/test_data.h"
#include "observe/moment/guided_moments.h"
#include "round/gptq/gptq.h"
#include "round/output_error.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::normal_matrix;

InputStatistics inputs_of(int64_t channels, int64_t tokens = 1000) {
  ThreadPool threads(1);
  return testing::correlated_inputs(
      channels, tokens, 0.8f, [](int64_t) { return 1.0f; }, threads);
}

Rounded round_by_data(const Rounding& rounding, const RowSource& w, const char* target, const InputStatistics* inputs,
                      int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), inputs, cache, alone, threads});
}

Rounded plain(const RowSource& w, const char* target) { return round_by_data(AdditiveRounding{}, w, target, nullptr); }

TEST(Aqlm, HasLessErrorThanPlainVectorsAndThanErrorFeedback) {
  const DenseMatrix w = normal_matrix(256, 256, 6);
  const InputStatistics inputs = inputs_of(256);
  const Rounded data = round_by_data(AqlmRounding{}, w, "aq2x6-g6", &inputs);
  const Rounded without = round_by_data(AdditiveRounding{}, w, "aq2x6-g6", &inputs);
  const Rounded gptq = round_by_data(GptqRounding{}, w, "int2-g64-asym-mse", &inputs);
  EXPECT_LT(*data.report.output_error, 0.6 * *without.report.output_error);
  EXPECT_LT(*data.report.output_error, 0.7 * *gptq.report.output_error);
  EXPECT_LT(without.report.weight_error, data.report.weight_error);
  EXPECT_EQ(data.report.damping, 0.01);
  data.matrix->check_values("w");
}

TEST(Aqlm, SweepsAndWiderBeamsLowerTheError) {
  const DenseMatrix w = normal_matrix(128, 128, 3);
  const InputStatistics inputs = inputs_of(128);
  double before = 1;
  for (const int64_t sweeps : {1, 2, 4, 8}) {
    const double error = *round_by_data(AqlmRounding{.sweeps = sweeps}, w, "aq2x5-g8", &inputs).report.output_error;
    EXPECT_LT(error, before) << sweeps;
    before = error;
  }
  EXPECT_GT(*round_by_data(AqlmRounding{.beam = 1}, w, "aq2x5-g8", &inputs).report.output_error, before);
}

// Columns that are no multiple of the group, few rows, few entries.
TEST(Aqlm, AnyShape) {
  for (const char* target : {"aq2x4-g8", "aq1x1-g3", "aq4x4-g8", "aq1x9-g4", "aq2x3-g64"}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 13}, {65, 40}, {300, 9}}) {
      const DenseMatrix w = normal_matrix(rows, cols, 4);
      const InputStatistics inputs = inputs_of(cols, 100);
      for (const Rounding& rounding : {Rounding(AqlmRounding{}), Rounding(AdditiveRounding{})}) {
        const Rounded rounded = round_by_data(rounding, w, target, &inputs);
        rounded.matrix->check_values("w");
        EXPECT_LT(rounded.report.weight_error, 1.5) << target << " [" << rows << ", " << cols << "]";
      }
    }
  }
}

TEST(Aqlm, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(150, 144, 7);
  const InputStatistics inputs = inputs_of(144);
  for (const Rounding& rounding : {Rounding(AqlmRounding{.sweeps = 3}), Rounding(AdditiveRounding{.sweeps = 2})}) {
    const Rounded one = round_by_data(rounding, w, "aq2x6-g8", &inputs),
                  three = round_by_data(rounding, w, "aq2x6-g8", &inputs, 3);
    EXPECT_EQ(one.matrix->decode_all(), three.matrix->decode_all());
    EXPECT_EQ(one.report, three.report);
  }
}

TEST(Aqlm, AnotherSeedIsAnotherSearch) {
  const DenseMatrix w = normal_matrix(64, 64, 7);
  const InputStatistics inputs = inputs_of(64);
  EXPECT_NE(round_by_data(AqlmRounding{.sweeps = 2}, w, "aq2x6-g8", &inputs).matrix->decode_all(),
            round_by_data(AqlmRounding{.sweeps = 2, .seed = 1}, w, "aq2x6-g8", &inputs).matrix->decode_all());
}

TEST(Aqlm, TellsOfEachSweep) {
  const DenseMatrix w = normal_matrix(16, 32, 7);
  const InputStatistics inputs = inputs_of(32, 100);
  for (const char* target : {"aq2x4-g8", "aq2x4-g8+frame-in32"}) {
    ThreadPool threads(2);
    Ranks alone;
    InputCache cache;
    std::vector<double> shares;
    round_matrix(AqlmRounding{.sweeps = 4}, {"w", w, parse_target(target), &inputs, cache, alone, threads, nullptr,
                                             [&](double share) { shares.push_back(share); }});
    EXPECT_THAT(shares, ::testing::ElementsAre(0.25, 0.25, 0.25, 0.25)) << target;
  }
}

TEST(Aqlm, RotatedWeightsToo) {
  const DenseMatrix w = normal_matrix(64, 64, 9);
  const InputStatistics inputs = inputs_of(64);
  const Rounded rounded = round_by_data(AqlmRounding{}, w, "aq2x6-g8+frame-in64-out64", &inputs);
  rounded.matrix->check_values("w");
  EXPECT_LT(*rounded.report.output_error, 0.2);
}

TEST(Aqlm, DeadColumnsCountAsZeros) {
  DenseMatrix w = normal_matrix(32, 32, 8);
  for (size_t r = 0; r < 32; ++r) w.values()[r * 32 + 3] = 100;
  ThreadPool threads(1);
  const InputStatistics inputs = testing::correlated_inputs(
      32, 100, 0.0f, [](int64_t c) { return c == 3 ? 0.0f : 1.0f; }, threads);
  const Rounded rounded = round_by_data(AqlmRounding{}, w, "aq2x4-g8", &inputs);
  for (int64_t r = 0; r < 32; ++r) {
    std::vector<float> row(32);
    rounded.matrix->decode_rows(r, r + 1, row.data());
    for (const float x : row) EXPECT_LT(std::abs(x), 1) << "its weights would set the scale otherwise";
  }
}

// Inputs that the layers before have halved: the target doubles the weights.
TEST(Aqlm, TargetMakesUpForTheInputsOwnError) {
  const DenseMatrix w = normal_matrix(32, 32, 5);
  ThreadPool threads(1);
  Rng rng(8, 8);
  std::vector<float> x(32 * 500), f(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng.normal()), f[i] = 2 * x[i];
  InputStatistics inputs(32, {.second_moment = true, .cross_moment = true});
  inputs.add(f.data(), x.data(), 500, threads);
  const Rounded rounded = round_by_data(AqlmRounding{.damping = 0.001, .drift = 1}, w, "aq4x6-g4", &inputs);
  const std::vector<float> q = rounded.matrix->decode_all();
  double error = 0, norm = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    const auto twice = 2 * static_cast<double>(w.values()[i]);
    error += std::pow(static_cast<double>(q[i]) - twice, 2), norm += twice * twice;
  }
  EXPECT_LT(error / norm, 0.02);
}

// Neighbours go together where the loss looks, and against each other elsewhere: in the mean of all they are apart.
TEST(Aqlm, GuidedReadsTheMatrixsOwnMoment) {
  const DenseMatrix w = normal_matrix(48, 64, 6);
  ThreadPool threads(1);
  Rng rng(5, 6);
  std::vector<float> x(64 * 1000), g(48 * 1000);
  for (size_t t = 0; t < 1000; ++t) {
    const bool felt = t % 2 == 0;
    for (size_t c = 0; c < 64; ++c) {
      const float before = c == 0 ? 0.0f : x[t * 64 + c - 1];
      x[t * 64 + c] = static_cast<float>(rng.normal()) + (felt ? 0.8f : -0.8f) * before;
    }
    for (size_t r = 0; r < 48; ++r) g[t * 48 + r] = felt ? static_cast<float>(rng.normal()) : 0.0f;
  }
  GuidedMoments moments(64, 48, {.guided_moment = true});
  moments.add(x.data(), g.data(), 1000, threads);
  InputStatistics inputs(64);
  inputs.add(nullptr, x.data(), 1000, threads);
  Ranks alone;
  InputCache cache;
  const auto felt_error = [&](const AqlmRounding& options) {
    const Rounded rounded =
        round_matrix(options, {"w", w, parse_target("aq2x4-g8"), &inputs, cache, alone, threads, &moments});
    return output_error(w, *rounded.matrix, moments.in(), threads);
  };
  EXPECT_LT(felt_error({.guided = true}), 0.7 * felt_error({}));
}

TEST(Aqlm, ZerosStayZerosAndInfinityIsRefused) {
  const DenseMatrix zeros(17, 33, std::vector<float>(17 * 33, 0.0f));
  const InputStatistics inputs = inputs_of(33, 100);
  for (const Rounding& rounding : {Rounding(AqlmRounding{}), Rounding(AdditiveRounding{})}) {
    const Rounded rounded = round_by_data(rounding, zeros, "aq2x4-g8", &inputs);
    rounded.matrix->check_values("w");
    EXPECT_EQ(rounded.matrix->decode_all(), zeros.values());
  }
  DenseMatrix broken = normal_matrix(16, 16, 3);
  broken.values()[18] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { plain(broken, "aq1x4-g8"); }), HasSubstr("weight [1, 2] is inf"));
}

TEST(Aqlm, NeedsTokensAndVectors) {
  const DenseMatrix w = normal_matrix(16, 32, 8);
  const InputStatistics none(32);
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { round_by_data(AqlmRounding{}, w, "aq1x4-g8", &none); }),
            "w: aqlm needs calibration tokens, and none were seen");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { plain(w, "int4-g16"); }), HasSubstr("cannot choose codes of int4"));
  EXPECT_EQ(rounding_without_data(parse_storage("aq2x8-g8")), Rounding(AdditiveRounding{}));
}

/// Of any shape, and never read.
class Unread final : public RowSource {
 public:
  int64_t rows() const override { return int64_t{1} << 31; }
  int64_t cols() const override { return 64; }
  void decode_rows(int64_t, int64_t, float*) const override { FAIL() << "it was to be refused"; }
  int64_t stored_bytes() const override { return 4 * rows() * cols(); }
  std::string storage() const override { return "F32"; }
};

TEST(Aqlm, RefusesMoreGroupsThanItCanCount) {
  const InputStatistics inputs = inputs_of(64, 100);
  for (const Rounding& rounding : {Rounding(AqlmRounding{}), Rounding(AdditiveRounding{})}) {
    EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { round_by_data(rounding, Unread(), "aq1x4-g8", &inputs); }),
              "w: 2147483648 rows of 8 groups are too many for aq1x4-g8: at most 4294967295 groups in all");
  }
}

}  // namespace
}  // namespace bitloom
