// A frame around any storage: what is stored is rounded in rotated coordinates, and decodes in the matrix's own.

#include "round/frame/framed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_data.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::normal_matrix;

InputStatistics statistics(int64_t channels, int64_t tokens, uint64_t seed) {
  ThreadPool threads(1);
  Rng rng(seed, 3);
  std::vector<float> x(static_cast<size_t>(channels * tokens));
  for (size_t i = 0; i < x.size(); ++i) {
    const auto c = static_cast<int64_t>(i) % channels;
    x[i] = static_cast<float>(rng.normal() * (c % 7 == 0 ? 6 : 1)) + (c > 0 ? 0.5f * x[i - 1] : 0);
  }
  InputStatistics result(channels);
  result.add(nullptr, x.data(), tokens, threads);
  return result;
}

Rounded round(const Rounding& rounding, const RowSource& w, const char* target, const InputStatistics* inputs) {
  ThreadPool threads(2);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), inputs, cache, alone, threads});
}

TEST(Frame, FineCodesInsideAFrameDecodeToTheMatrix) {
  const DenseMatrix w = normal_matrix(48, 80, 1);
  for (const char* frame : {"+frame-in16", "+frame-out16", "+frame-in64-out64-seed3", "+frame-infull",
                            "+frame-outscales", "+frame-in16-out8-inscales-outscales"}) {
    const Rounded rounded = round(NearestRounding{}, w, (std::string("int8-g16") + frame).c_str(), nullptr);
    rounded.matrix->check_values("w");
    EXPECT_EQ(to_string(rounded.matrix->spec()), std::string("int8-g16") + frame);
    const std::vector<float> q = rounded.matrix->decode_all();
    double error = 0, norm = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      const double original = w.values()[i];
      error += std::pow(original - static_cast<double>(q[i]), 2), norm += original * original;
    }
    // int8 in groups of 16 of a normal source: steps of about sigma / 70, so an error of 1/12 of that squared.
    EXPECT_LT(error / norm, 4e-5) << frame;
    EXPECT_GT(error, 0) << frame;
  }
}

// tr(E H E^T) is the same in both coordinates, so feedback inside the frame must lower the outputs' error outside.
TEST(Frame, FeedbackInsideAFrameLowersTheOutputsError) {
  const DenseMatrix w = normal_matrix(64, 96, 2);
  const InputStatistics inputs = statistics(96, 500, 1);
  for (const char* target : {"int3-g32+frame-in32", "int3-row+frame-in32-out64", "int3-g32+frame-infull"}) {
    const double nearest = *round(NearestRounding{}, w, target, &inputs).report.output_error;
    const double feedback = *round(GptqRounding{}, w, target, &inputs).report.output_error;
    EXPECT_LT(feedback, 0.6 * nearest) << target;
  }
}

TEST(Frame, RowsOfOneSizeOnlyNeedNoScalesOfTheirOwn) {
  const DenseMatrix w = normal_matrix(64, 96, 3);  // rows differ in size by up to four
  const double one_scale = round(NearestRounding{}, w, "int4-tensor", nullptr).report.weight_error;
  const Rounded scaled = round(NearestRounding{}, w, "int4-tensor+frame-outscales", nullptr);
  EXPECT_LT(scaled.report.weight_error, one_scale);
}

TEST(Frame, DeadColumnsAreZeros) {
  const DenseMatrix w = normal_matrix(16, 32, 4);
  ThreadPool threads(1);
  InputStatistics inputs(32);
  std::vector<float> x(32 * 64);
  Rng rng(1, 1);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 32 == 5 ? 0.0f : static_cast<float>(rng.normal());
  inputs.add(nullptr, x.data(), 64, threads);
  const std::vector<float> q = round(NearestRounding{}, w, "int8-row+frame-in32", &inputs).matrix->decode_all();
  // Rotated rows reach up to about four times their deviation of 0.08; a step is that over 127.
  for (size_t r = 0; r < 16; ++r) EXPECT_LT(std::abs(q[r * 32 + 5]), 4 * 0.08f / 127) << r;
}

TEST(Frame, RefusesWeightsThatAreNotFinite) {
  DenseMatrix broken = normal_matrix(16, 16, 3);
  broken.values()[18] = std::nanf("");
  EXPECT_THAT(
      message_of(ErrorKind::kRefused, [&] { round(NearestRounding{}, broken, "int8-row+frame-in16", nullptr); }),
      HasSubstr("w: weight [1, 2] is nan"));
}

}  // namespace
}  // namespace bitloom
