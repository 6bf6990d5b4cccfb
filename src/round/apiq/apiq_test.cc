#include "round/apiq/apiq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/test_data.h"
#include "round/apiq/clip.h"
#include "round/lorc/lorc.h"
#include "round/output_error.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using Parity = ApiqRounding::Parity;
using testing::correlated_inputs;
using testing::normal_matrix;

constexpr const char* kTarget = "int2-g16-asym-mse+lowrank6-int8-row";

Rounded round(const Rounding& rounding, const RowSource& w, const std::string& target, const InputStatistics& inputs,
              int threads = 2) {
  ThreadPool pool(threads);
  Ranks alone;
  InputCache cache;
  return round_matrix(rounding, {"w", w, parse_target(target), &inputs, cache, alone, pool});
}

InputStatistics some_inputs(int64_t channels) {
  ThreadPool threads(2);
  return correlated_inputs(
      channels, 400, 0.6f, [](int64_t c) { return c % 9 == 0 ? 8.0f : 0.5f + 0.01f * static_cast<float>(c); }, threads);
}

/// Inputs that are off from the float model's: f = x + a part of a neighbour.
struct Drifting {
  InputStatistics inputs;
  std::vector<float> x, f;
};
Drifting drifting_inputs(int64_t channels, int64_t tokens) {
  Drifting made{InputStatistics(channels, {.second_moment = true, .cross_moment = true}), {}, {}};
  Rng rng(9, 3);
  for (int64_t i = 0; i < tokens * channels; ++i) made.x.push_back(static_cast<float>(rng.normal()));
  made.f = made.x;
  for (size_t i = 1; i < made.f.size(); ++i) made.f[i] += 0.3f * made.x[i - 1];
  ThreadPool threads(2);
  made.inputs.add(made.f.data(), made.x.data(), tokens, threads);
  return made;
}

/// Mean over tokens of |W f - Q x|^2.
double two_stream_error(const DenseMatrix& w, const StoredMatrix& q, const Drifting& data) {
  const std::vector<float> decoded = q.decode_all();
  const int64_t cols = w.cols(), tokens = static_cast<int64_t>(data.x.size()) / cols;
  double sum = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < w.rows(); ++r) {
      double off = 0;
      for (int64_t c = 0; c < cols; ++c) {
        off += static_cast<double>(w.values()[static_cast<size_t>(r * cols + c)]) *
                   static_cast<double>(data.f[static_cast<size_t>(t * cols + c)]) -
               static_cast<double>(decoded[static_cast<size_t>(r * cols + c)]) *
                   static_cast<double>(data.x[static_cast<size_t>(t * cols + c)]);
      }
      sum += off * off;
    }
  }
  return sum / static_cast<double>(tokens);
}

const Rounding kLoftq = LorcRounding{.codes = LorcRounding::Codes::kNearest, .rounds = 5};

// The published descent ends below LoftQ's start of the same storage, and ours below that.
TEST(Apiq, LeavesLessOutputErrorThanLoftq) {
  const DenseMatrix w = normal_matrix(48, 64, 1);
  const InputStatistics inputs = some_inputs(64);
  const double loftq = *round(kLoftq, w, kTarget, inputs).report.output_error;
  const ApiqRounding paper{.parity = Parity::kPaper, .steps = 600, .rate = 5e-3, .clip_rate = 2e-2};
  const double published = *round(paper, w, kTarget, inputs).report.output_error;
  const double ours = *round(ApiqRounding{}, w, kTarget, inputs).report.output_error;
  const double feedback = *round(LorcRounding{.weighted = true}, w, kTarget, inputs).report.output_error;
  EXPECT_LT(published, 0.9 * loftq);
  EXPECT_LT(ours, published);
  EXPECT_LT(ours, feedback) << "turns gain on one turn";
}

TEST(Apiq, MakesWhatTheFloatLayerMakesOfItsOwnInputs) {
  const DenseMatrix w = normal_matrix(32, 48, 2);
  const Drifting data = drifting_inputs(48, 600);
  for (const Parity parity : {Parity::kNone, Parity::kPaper}) {
    ApiqRounding options{.parity = parity, .steps = 400, .rate = 5e-3, .clip_rate = 2e-2};
    const double corrected = two_stream_error(w, *round(options, w, kTarget, data.inputs).matrix, data);
    options.drift = 0;
    const double plain = two_stream_error(w, *round(options, w, kTarget, data.inputs).matrix, data);
    EXPECT_LT(corrected, 0.9 * plain);
  }
}

TEST(Apiq, IsExactAtEightBits) {
  const DenseMatrix w = normal_matrix(24, 32, 3);
  const InputStatistics inputs = some_inputs(32);
  for (const Parity parity : {Parity::kNone, Parity::kPaper}) {
    const ApiqRounding options{.parity = parity, .steps = 200};
    EXPECT_LT(*round(options, w, "int8-g16-asym+lowrank4-int8-row", inputs).report.output_error, 1e-4);
  }
}

TEST(Apiq, HasTheSameBytesForAnyNumberOfThreads) {
  const DenseMatrix w = normal_matrix(70, 96, 4);
  const InputStatistics inputs = some_inputs(96);
  for (const Parity parity : {Parity::kNone, Parity::kPaper}) {
    const ApiqRounding options{.parity = parity, .rounds = 3, .steps = 20};
    const auto one = round(options, w, kTarget, inputs, 1).matrix, three = round(options, w, kTarget, inputs, 3).matrix;
    for (size_t p = 0; p < one->parts().size(); ++p) {
      EXPECT_TRUE(std::ranges::equal(one->parts()[p].bytes, three->parts()[p].bytes)) << one->parts()[p].suffix;
    }
  }
}

TEST(Apiq, RoundsOntoCodesWithAProduct) {
  const auto can = [](Parity parity, const char* storage) {
    return rounds_onto(Rounding(ApiqRounding{.parity = parity}), parse_storage(storage));
  };
  for (const Parity parity : {Parity::kNone, Parity::kPaper}) {
    EXPECT_TRUE(can(parity, "int2-g16-asym+lowrank6-int8-row"));
    EXPECT_FALSE(can(parity, "int2-g16-asym"));
    EXPECT_FALSE(can(parity, "trellis2+lowrank4-int8-row"));
  }
  EXPECT_TRUE(can(Parity::kNone, "nf4-g64+lowrank4-int8-row"));
  EXPECT_FALSE(can(Parity::kPaper, "nf4-g64+lowrank4-int8-row"));
  EXPECT_TRUE(needs_of(ApiqRounding{}).cross_moment);
  EXPECT_FALSE(needs_of(ApiqRounding{.drift = 0}).cross_moment);
}

// Clip logits of a million: the range of the weights, as nearest rounding takes it.
TEST(LearnedClip, OfNothingIsPlainRounding) {
  const DenseMatrix w = normal_matrix(20, 40, 5);
  ThreadPool threads(2);
  for (const char* text : {"int2-g16-asym", "int4-g8-asym", "int8-row-asym"}) {
    LearnedClip clip(parse_storage(text).base.get<GridStorage>(), w.values(), 20, 40);
    clip.logits.assign(clip.logits.size(), 1e6f);
    std::vector<float> q(20 * 40);
    clip.quantize(q.data(), threads);
    EXPECT_EQ(q, testing::round_matrix(w, text)->decode_all()) << text;
  }
}

TEST(LearnedClip, StoresWhatItQuantizes) {
  DenseMatrix w = normal_matrix(20, 40, 6);
  for (int c = 0; c < 16; ++c) w.values()[static_cast<size_t>(c)] = 0;      // a group of zeros
  for (int c = 16; c < 32; ++c) w.values()[static_cast<size_t>(c)] = 0.5f;  // one of a single sign
  ThreadPool threads(2);
  LearnedClip clip(parse_storage("int3-g16-asym").base.get<GridStorage>(), w.values(), 20, 40);
  Rng rng(1, 1);
  for (float& logit : clip.logits) logit = static_cast<float>(2 * rng.normal());
  std::vector<float> q(20 * 40);
  clip.quantize(q.data(), threads);
  const auto stored = clip.store("w", threads);
  stored->check_values("w");
  EXPECT_EQ(stored->decode_all(), q);
}

// Central differences of sum g q in double, where each round(w / s) moves with w / s and zero points stay: what
// straight through means. The gradient is made in fp32 of a sum in double: 2^-20 of its terms' size.
TEST(LearnedClip, GradientIsThatOfTheStraightThroughFunction) {
  constexpr int64_t kRows = 3, kCols = 16, kGroup = 8, kGroups = kCols / kGroup;
  constexpr double kMost = 3;  // 2 bits
  const DenseMatrix w = normal_matrix(kRows, kCols, 7);
  ThreadPool threads(1);
  LearnedClip clip(parse_storage("int2-g8-asym").base.get<GridStorage>(), w.values(), kRows, kCols);
  Rng rng(2, 1);
  for (float& logit : clip.logits) logit = static_cast<float>(rng.normal());
  std::vector<float> g(kRows * kCols);
  for (float& value : g) value = static_cast<float>(rng.normal());
  const std::vector<float> gradient = clip.gradient(g.data(), threads);

  const auto range = [&](int64_t group, double gamma, double beta) {  // high - low
    double high = 0, low = 0;
    for (int64_t c = 0; c < kGroup; ++c) {
      const double weight = w.values()[static_cast<size_t>(group * kGroup + c)];
      high = std::max(high, weight), low = std::min(low, weight);
    }
    return std::pair(high / (1 + std::exp(-gamma)), low / (1 + std::exp(-beta)));
  };
  for (int64_t group = 0; group < kRows * kGroups; ++group) {
    const auto place = static_cast<size_t>(group), other = static_cast<size_t>(kRows * kGroups + group);
    const double gamma = clip.logits[place], beta = clip.logits[other];
    const auto [high, low] = range(group, gamma, beta);
    const double stored = f16_to_f32(f32_to_f16(static_cast<float>((high - low) / kMost)));
    const double zero = std::clamp(std::nearbyint(-low / stored), 0.0, kMost);
    const auto value = [&](double gamma_now, double beta_now) {
      const auto [high_now, low_now] = range(group, gamma_now, beta_now);
      const double s = stored + (high_now - low_now) / kMost - (high - low) / kMost;
      double sum = 0;
      for (int64_t c = 0; c < kGroup; ++c) {
        const auto i = static_cast<size_t>(group * kGroup + c);
        const double weight = w.values()[i], steps = std::nearbyint(weight / stored);
        double q = s * (steps + weight / s - weight / stored);
        if (steps + zero < 0) q = s * -zero;
        if (steps + zero > kMost) q = s * (kMost - zero);
        sum += static_cast<double>(g[i]) * q;
      }
      return sum;
    };
    constexpr double kStep = 1e-4;
    const double of_gamma = (value(gamma + kStep, beta) - value(gamma - kStep, beta)) / (2 * kStep);
    const double of_beta = (value(gamma, beta + kStep) - value(gamma, beta - kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient[place], of_gamma, 1e-5 * (std::abs(of_gamma) + 0.1)) << group;
    EXPECT_NEAR(gradient[other], of_beta, 1e-5 * (std::abs(of_beta) + 0.1)) << group;
  }
}

}  // namespace
}  // namespace bitloom
