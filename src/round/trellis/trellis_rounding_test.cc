#include "round/trellis/trellis_rounding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::normal_matrix;

Rounded viterbi(const RowSource& w, const char* target, int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  return round_matrix(ViterbiRounding{}, {"w", w, parse_target(target), nullptr, cache, alone, threads});
}

double squared_error(const RowSource& w, const RowSource& q) {
  const std::vector<float> a = w.decode_all(), b = q.decode_all();
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  return error / norm;
}

TEST(ViterbiRounding, ReportsTheErrorOfWhatIsStored) {
  const DenseMatrix w = normal_matrix(40, 70, 1);
  for (const char* target : {"trellis2-l12", "trellis3-l12"}) {
    const Rounded rounded = viterbi(w, target);
    rounded.matrix->check_values("w");
    EXPECT_NEAR(rounded.report.weight_error, squared_error(w, *rounded.matrix), 1e-6);
    EXPECT_EQ(to_string(rounded.matrix->spec()), target);
  }
}

// Rows of equal size, so that one scale fits all: a rate of 2 bits is a table of four levels (int2's error is .119 or
// more) only in the width of its codes.
TEST(ViterbiRounding, HasLessErrorThanAnyScalarOfTheSameBits) {
  Rng rng(5, 1);
  std::vector<float> values(64 * 64);
  for (float& value : values) value = static_cast<float>(rng.normal());
  const DenseMatrix w(64, 64, values);
  EXPECT_LT(viterbi(w, "trellis2-l12").report.weight_error, 0.08);
  EXPECT_LT(viterbi(w, "trellis1-l12").report.weight_error, 0.30);
  EXPECT_LT(viterbi(w, "trellis2").report.weight_error, viterbi(w, "trellis2-l12").report.weight_error);
}

TEST(ViterbiRounding, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(100, 64, 2);
  const Rounded one = viterbi(w, "trellis1.5-l12"), three = viterbi(w, "trellis1.5-l12", 3);
  EXPECT_EQ(one.matrix->decode_all(), three.matrix->decode_all());
  EXPECT_EQ(one.report, three.report);
}

TEST(ViterbiRounding, ZerosStayZerosAndInfinityIsRefused) {
  const DenseMatrix zeros(17, 33, std::vector<float>(17 * 33, 0.0f));
  const Rounded rounded = viterbi(zeros, "trellis2-l12");
  rounded.matrix->check_values("w");
  EXPECT_EQ(rounded.matrix->decode_all(), zeros.values());
  DenseMatrix broken = normal_matrix(16, 16, 3);
  broken.values()[18] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { viterbi(broken, "trellis2-l12"); }), "w: weight [1, 2] is inf");
}

/// Of inputs whose neighbours go together.
InputStatistics correlated_inputs(int64_t channels) {
  ThreadPool threads(1);
  Rng rng(3, 4);
  std::vector<float> x(static_cast<size_t>(channels * 1000));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.normal()) + (i % static_cast<size_t>(channels) > 0 ? 0.9f * x[i - 1] : 0);
  }
  InputStatistics inputs(channels);
  inputs.add(nullptr, x.data(), 1000, threads);
  return inputs;
}

Rounded ldlq(const RowSource& w, const char* target, const InputStatistics& inputs, int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  return round_matrix(LdlqRounding{}, {"w", w, parse_target(target), &inputs, cache, alone, threads});
}

TEST(LdlqRounding, FeedbackLowersTheOutputsError) {
  const DenseMatrix w = normal_matrix(40, 96, 6);
  const InputStatistics inputs = correlated_inputs(96);
  for (const char* target : {"trellis2-l12", "trellis2.5-l12+frame-in32-out8"}) {
    ThreadPool threads(1);
    Ranks alone;
    InputCache cache;
    const Rounded nearest =
        round_matrix(ViterbiRounding{}, {"w", w, parse_target(target), &inputs, cache, alone, threads});
    const Rounded feedback = ldlq(w, target, inputs);
    feedback.matrix->check_values("w");
    // Neighbours that go together lie mostly inside a tile, where nothing is fed back; a rotation spreads them.
    EXPECT_LT(*feedback.report.output_error, 0.85 * *nearest.report.output_error) << target;
    EXPECT_GT(feedback.report.weight_error, nearest.report.weight_error) << target;
    EXPECT_EQ(feedback.report.damping, 0.01);
  }
}

/// Inputs as above; gradients of the outputs whose neighbours go together, or one output's at a time.
GuidedMoments guided_moments(int64_t in, int64_t out, bool one_at_a_time) {
  ThreadPool threads(1);
  Rng rng(5, 6);
  constexpr int64_t kTokens = 1024;
  std::vector<float> x(static_cast<size_t>(in * kTokens)), g(static_cast<size_t>(out * kTokens));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.normal()) + (i % static_cast<size_t>(in) > 0 ? 0.9f * x[i - 1] : 0);
  }
  for (size_t i = 0; i < g.size(); ++i) {
    const auto channel = i % static_cast<size_t>(out), token = i / static_cast<size_t>(out);
    g[i] = static_cast<float>(rng.normal()) + (channel > 0 ? 0.9f * g[i - 1] : 0);
    if (one_at_a_time) g[i] = channel == token % static_cast<size_t>(out) ? 1.0f : 0.0f;
  }
  GuidedMoments moments(in, out, {.guided_moment = true, .output_moment = true});
  moments.add(x.data(), g.data(), kTokens, threads);
  return moments;
}

Rounded guided_ldlq(const RowSource& w, const char* target, const GuidedMoments& moments, bool two_sided,
                    int thread_count = 1) {
  ThreadPool threads(thread_count);
  Ranks alone;
  InputCache cache;
  const InputStatistics inputs(w.cols(), Needs{});
  const LdlqRounding options{.guided = true, .two_sided = two_sided};
  return round_matrix(options, {"w", w, parse_target(target), &inputs, cache, alone, threads, &moments});
}

/// tr(H_O E H_I E^T).
double guided_loss(const DenseMatrix& w, const RowSource& q, const GuidedMoments& moments) {
  const std::vector<float> decoded = q.decode_all();
  const auto m = static_cast<size_t>(w.rows()), n = static_cast<size_t>(w.cols());
  std::vector<double> left(m * n);  // H_O E
  const auto e = [&](size_t i) { return static_cast<double>(w.values()[i]) - static_cast<double>(decoded[i]); };
  for (size_t r = 0; r < m; ++r) {
    for (size_t k = 0; k < m; ++k) {
      for (size_t c = 0; c < n; ++c) {
        left[r * n + c] += moments.out().mean(static_cast<int64_t>(r), static_cast<int64_t>(k)) * e(k * n + c);
      }
    }
  }
  double loss = 0;
  for (size_t r = 0; r < m; ++r) {
    for (size_t c = 0; c < n; ++c) {
      for (size_t k = 0; k < n; ++k) {
        loss += left[r * n + c] * moments.in().mean(static_cast<int64_t>(c), static_cast<int64_t>(k)) * e(r * n + k);
      }
    }
  }
  return loss;
}

TEST(LdlqRounding, FeedbackBothWaysLowersTheLoss) {
  const DenseMatrix w = normal_matrix(64, 96, 6);
  const GuidedMoments moments = guided_moments(96, 64, false);
  for (const char* target :
       {"trellis2-l12", "trellis2.5-l12+frame-in32-out64", "trellis2-l12+frame-in32-out32-outscales"}) {
    const Rounded one = guided_ldlq(w, target, moments, false), two = guided_ldlq(w, target, moments, true);
    two.matrix->check_values("w");
    EXPECT_LT(guided_loss(w, *two.matrix, moments), 0.9 * guided_loss(w, *one.matrix, moments)) << target;
    EXPECT_EQ(two.matrix->decode_all(), guided_ldlq(w, target, moments, true, 3).matrix->decode_all()) << target;
  }
}

// Gradients of one output at a time have H_O = I / m.
TEST(LdlqRounding, WithoutCorrelatedGradientsBothWaysIsOneWay) {
  const DenseMatrix w = normal_matrix(64, 96, 9);
  const GuidedMoments moments = guided_moments(96, 64, true);
  const Rounded one = guided_ldlq(w, "trellis2-l12", moments, false),
                two = guided_ldlq(w, "trellis2-l12", moments, true);
  EXPECT_EQ(one.matrix->decode_all(), two.matrix->decode_all());
}

// Inputs that the layers before have halved: the target doubles the weights.
TEST(LdlqRounding, TargetMakesUpForTheInputsOwnError) {
  const DenseMatrix w = normal_matrix(32, 32, 5);
  DenseMatrix twice = w;
  for (float& value : twice.values()) value *= 2;
  ThreadPool threads(1);
  Ranks alone;
  InputCache cache;
  Rng rng(8, 8);
  std::vector<float> x(32 * 500), f(x.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng.normal()), f[i] = 2 * x[i];
  InputStatistics inputs(32, {.second_moment = true, .cross_moment = true});
  inputs.add(f.data(), x.data(), 500, threads);
  for (const char* target : {"trellis4-l12", "trellis4-l12+frame-in32-out32"}) {
    const LdlqRounding options{.damping = 0.001, .drift = 1};
    const Rounded rounded = round_matrix(options, {"w", w, parse_target(target), &inputs, cache, alone, threads});
    EXPECT_LT(squared_error(twice, *rounded.matrix), 0.02) << target;
    const Rounded plain = round_matrix(LdlqRounding{}, {"w", w, parse_target(target), &inputs, cache, alone, threads});
    EXPECT_GT(squared_error(twice, *plain.matrix), 0.2) << target;
  }
}

// Moments by gradients are each matrix's own, the drift is its input's: whoever reads the same gets the one that is
// there. Told by statistics of the second matrix that have no drift.
TEST(LdlqRounding, DriftIsMadeOnceForAllThatReadAnInput) {
  const DenseMatrix w = normal_matrix(32, 32, 5);
  DenseMatrix twice = w;
  for (float& value : twice.values()) value *= 2;
  ThreadPool threads(1);
  Ranks alone;
  Rng rng(8, 8);
  std::vector<float> x(32 * 500), f(x.size()), g(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.normal()), f[i] = 2 * x[i], g[i] = static_cast<float>(rng.normal());
  }
  constexpr Needs kOfInputs{.second_moment = true, .cross_moment = true};
  InputStatistics halved(32, kOfInputs), faithful(32, kOfInputs);
  halved.add(f.data(), x.data(), 500, threads);
  faithful.add(x.data(), x.data(), 500, threads);
  GuidedMoments moments(32, 32, {.guided_moment = true, .output_moment = true});
  moments.add(x.data(), g.data(), 500, threads);
  InputCache cache;
  const auto error = [&](const char* name, const InputStatistics& inputs) {
    const LdlqRounding options{.damping = 0.001, .two_sided = true, .drift = 1};
    const RoundingTarget target = parse_target("trellis4-l12");
    return squared_error(twice,
                         *round_matrix(options, {name, w, target, &inputs, cache, alone, threads, &moments}).matrix);
  };
  EXPECT_LT(error("q", halved), 0.02);
  EXPECT_LT(error("k", faithful), 0.02);
}

TEST(LdlqRounding, SaysThatGradientsAreMissing) {
  const DenseMatrix w = normal_matrix(16, 32, 8);
  ThreadPool threads(1);
  Ranks alone;
  InputCache cache;
  const InputStatistics inputs = correlated_inputs(32);
  const auto round = [&](const GuidedMoments* moments) {
    round_matrix(LdlqRounding{.two_sided = true},
                 {"w", w, parse_target("trellis2-l12"), &inputs, cache, alone, threads, moments});
  };
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { round(nullptr); }),
            "w: ldlq without moments weighted by its outputs' gradients");
  const GuidedMoments half(32, 16, {.guided_moment = true});
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { round(&half); }),
            "w: ldlq without the second moment of its outputs' gradients");
}

TEST(LdlqRounding, SameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(70, 64, 7);
  const InputStatistics inputs = correlated_inputs(64);
  EXPECT_EQ(ldlq(w, "trellis2-l12", inputs).matrix->decode_all(),
            ldlq(w, "trellis2-l12", inputs, 3).matrix->decode_all());
}

TEST(LdlqRounding, DeadColumnsCountAsZeros) {
  DenseMatrix w = normal_matrix(16, 32, 8);
  for (size_t r = 0; r < 16; ++r) w.values()[r * 32 + 3] = 100;
  InputStatistics inputs(32);
  ThreadPool threads(1);
  Rng rng(1, 1);
  std::vector<float> x(32 * 100);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 32 == 3 ? 0.0f : static_cast<float>(rng.normal());
  inputs.add(nullptr, x.data(), 100, threads);
  EXPECT_LT(ldlq(w, "trellis2-l12", inputs).report.max_abs_error, 1) << "its weights would set the scale otherwise";
}

TEST(LdlqRounding, NeedsTokens) {
  const DenseMatrix w = normal_matrix(16, 32, 8);
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { ldlq(w, "trellis2-l12", InputStatistics(32)); }),
            "w: error feedback needs calibration tokens, and none were seen");
}

TEST(ViterbiRounding, RoundsOntoTrellisesOnly) {
  const DenseMatrix w = normal_matrix(16, 16, 3);
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { viterbi(w, "int4-g16"); }), HasSubstr("cannot choose codes of int4"));
  EXPECT_EQ(rounding_without_data(parse_storage("trellis2")), Rounding(ViterbiRounding{}));
  EXPECT_EQ(rounding_without_data(parse_storage("trellis2+frame-in64")), Rounding(ViterbiRounding{}));
}

}  // namespace
}  // namespace bitloom
