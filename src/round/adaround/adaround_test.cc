#include "round/adaround/adaround.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "base/test_data.h"
#include "round/adaround/grid_levels.h"
#include "round/output_error.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using testing::normal_matrix;

/// Tokens x and f [tokens, d] and their moments, in fp64 and as the loss takes them.
struct Inputs {
  int64_t tokens, d;
  std::vector<float> x, f, second, cross;

  Inputs(int64_t token_count, int64_t channels, uint64_t seed, double shift = 0.1) : tokens(token_count), d(channels) {
    Rng rng(seed, 5);
    for (int64_t t = 0; t < tokens; ++t) {
      double previous = 0;
      for (int64_t c = 0; c < d; ++c) {
        previous = 0.8 * previous + rng.normal();  // neighbours correlate, powers differ
        x.push_back(static_cast<float>(previous * (1 + static_cast<double>(c % 5))));
        f.push_back(static_cast<float>(static_cast<double>(x.back()) * (1 + shift) + shift * rng.normal()));
      }
    }
    moments();
  }
  void silence(int64_t channel) {
    for (int64_t t = 0; t < tokens; ++t) x[static_cast<size_t>(t * d + channel)] = 0;
    moments();
  }
  void moments() {
    second.clear(), cross.clear();
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j < d; ++j) {
        double h = 0, c = 0;
        for (int64_t t = 0; t < tokens; ++t) {
          const auto a = static_cast<size_t>(t * d + i), b = static_cast<size_t>(t * d + j);
          h += double{x[a]} * double{x[b]};
          c += (double{f[a]} - double{x[a]}) * double{x[b]};
        }
        second.push_back(static_cast<float>(h / static_cast<double>(tokens)));
        cross.push_back(static_cast<float>(c / static_cast<double>(tokens)));
      }
    }
  }
  LayerStatistics layer(bool with_cross = false) const {
    return {d, second.data(), with_cross ? cross.data() : nullptr};
  }
};

/// mean over tokens of (w f - q x)^2 for one row.
double token_loss(const Inputs& in, const std::vector<float>& target, const float* w, const float* q) {
  double total = 0;
  for (int64_t t = 0; t < in.tokens; ++t) {
    double difference = 0;
    for (int64_t c = 0; c < in.d; ++c) {
      const auto i = static_cast<size_t>(t * in.d + c);
      difference += double{w[c]} * double{target[i]} - double{q[c]} * double{in.x[i]};
    }
    total += difference * difference;
  }
  return total / static_cast<double>(in.tokens);
}

double token_loss(const Inputs& in, const std::vector<float>& target, const RowSource& w, const RowSource& q) {
  const auto a = w.decode_all(), b = q.decode_all();
  double total = 0;
  for (int64_t r = 0; r < w.rows(); ++r) total += token_loss(in, target, a.data() + r * in.d, b.data() + r * in.d);
  return total;
}

std::shared_ptr<const StoredMatrix> learn_rounding(const RowSource& w, const std::string& target,
                                                   const LayerStatistics& layer, const AdaRounding& options,
                                                   AdaRoundReport* report = nullptr, int thread_count = 2) {
  ThreadPool threads(thread_count);
  return quantize_adaround("w", w, parse_grid_target(target), layer, options, threads, report);
}

// The derivation in soft_tile.h, against tokens: losses differ from the tokens' by the constant mean (w e)^2 alone.
TEST(QuadraticLoss, EqualsTheTokensWithAndWithoutACrossMoment) {
  const Inputs in(50, 24, 1);
  const DenseMatrix w = normal_matrix(3, 24, 2), q = normal_matrix(3, 24, 3);
  std::vector<float> deviation, scratch(72);
  for (size_t i = 0; i < 72; ++i) deviation.push_back(q.values()[i] - w.values()[i]);
  for (const bool with_cross : {false, true}) {
    SoftTile tile;
    tile.rows = 3;
    tile.base.resize(72);
    set_pull(in.layer(with_cross), w.values().data(), tile);
    const auto losses = row_losses(in.layer(with_cross), tile, deviation.data(), scratch.data());
    for (int64_t r = 0; r < 3; ++r) {
      const float* row = w.values().data() + r * 24;
      const auto& target = with_cross ? in.f : in.x;
      const double expected =
          token_loss(in, target, row, q.values().data() + r * 24) - token_loss(in, target, row, row);
      // fp32 moments and products: 24 terms of relative error 2^-24, sizes as of the two losses subtracted.
      EXPECT_NEAR(losses[static_cast<size_t>(r)], expected,
                  1e-5 * token_loss(in, target, row, q.values().data() + r * 24))
          << with_cross;
    }
  }
}

struct RandomTile {
  Inputs in{60, 20, 4};
  DenseMatrix w = normal_matrix(2, 20, 5);
  SoftTile tile;
  RandomTile() {
    Rng rng(6, 0);
    tile.rows = 2;
    for (size_t i = 0; i < 40; ++i) {
      tile.step.push_back(static_cast<float>(0.02 + 0.02 * rng.uniform()));
      tile.base.push_back(static_cast<float>(-rng.uniform() * double{tile.step.back()}));
      tile.alpha.push_back(static_cast<float>(4 * rng.uniform() - 2));  // |alpha| < 2: within the clip
    }
    set_pull(in.layer(true), w.values().data(), tile);
  }
};

/// The row's whole loss in units of u_j, in fp64, from the formulas alone.
double whole_loss(const RandomTile& t, const SoftStep& step, int64_t row) {
  const int64_t d = t.in.d;
  std::vector<double> deviation;
  double regularizer = 0;
  for (int64_t c = 0; c < d; ++c) {
    const auto i = static_cast<size_t>(row * d + c);
    const double h = 1.2 / (1 + std::exp(-double{t.tile.alpha[i]})) - 0.1, s = double{t.tile.step[i]};
    deviation.push_back(double{t.tile.base[i]} + h * s);
    const double unit = double{t.in.second[static_cast<size_t>(c * d + c)]} * s * s / 12;
    regularizer += unit * (1 - std::pow(std::abs(2 * h - 1), double{step.beta}));
  }
  double quadratic = 0;
  for (int64_t i = 0; i < d; ++i) {
    const double di = deviation[static_cast<size_t>(i)];
    for (int64_t j = 0; j < d; ++j) {
      quadratic += di * double{t.in.second[static_cast<size_t>(i * d + j)]} * deviation[static_cast<size_t>(j)];
    }
    quadratic -= 2 * di * double{t.tile.pull[static_cast<size_t>(row * d + i)]};
  }
  return quadratic + double{step.regularizer} * regularizer;
}

TEST(SoftGradient, EqualsFiniteDifferencesOfTheWholeLoss) {
  RandomTile t;
  const LayerStatistics layer = t.in.layer(true);
  for (const SoftStep step : {SoftStep{0, 20, 0}, SoftStep{0.7f, 20, 0}, SoftStep{2, 2, 0}, SoftStep{1, 5.5f, 0}}) {
    std::vector<float> deviation(40), half(40), gradient(40);
    soft_deviation(t.tile.base.data(), t.tile.step.data(), t.tile.alpha.data(), 40, deviation.data());
    half_gradient(layer, t.tile, deviation.data(), half.data());
    soft_gradient(step, t.tile.alpha.data(), half.data(), gains(layer, t.tile).data(), 40, gradient.data());
    for (size_t i = 0; i < 40; ++i) {
      const float alpha = t.tile.alpha[i], width = 0x1p-10f;
      const auto row = static_cast<int64_t>(i) / 20;
      t.tile.alpha[i] = alpha + width;
      const double above = whole_loss(t, step, row);
      t.tile.alpha[i] = alpha - width;
      const double below = whole_loss(t, step, row);
      const double span = double{alpha + width} - double{alpha - width};
      t.tile.alpha[i] = alpha;
      const double s = double{t.tile.step[i]};
      const double unit = double{t.in.second[i % 20 * 21]} * s * s / 12;
      const double expected = (above - below) / span / unit;
      // Central differences err by width^2 / 6 of the third derivative: |f'''| < 20^3, so about 1e-6 * 1e3.
      EXPECT_NEAR(double{gradient[i]}, expected, 2e-3 * (1 + std::abs(expected))) << i << " beta " << step.beta;
    }
  }
}

TEST(SoftStep, IsAdamOnTheGradient) {
  RandomTile t;
  const SoftStep step{2, 3, 0.05f};
  std::vector<float> dq(40), gain(40, 1.5f), gradient(40), deviation(40), first(40, 0.25f), second(40, 0.5f);
  for (size_t i = 0; i < 40; ++i) dq[i] = 0.1f * static_cast<float>(i) - 2;
  const std::vector<float> before = t.tile.alpha;
  soft_gradient(step, before.data(), dq.data(), gain.data(), 40, gradient.data());
  soft_step(step, {t.tile.base.data(), t.tile.step.data(), t.tile.alpha.data(), first.data(), second.data()}, dq.data(),
            gain.data(), 40, deviation.data());
  std::vector<float> expected_deviation(40);
  soft_deviation(t.tile.base.data(), t.tile.step.data(), t.tile.alpha.data(), 40, expected_deviation.data());
  for (size_t i = 0; i < 40; ++i) {
    const double g = double{gradient[i]}, m = 0.9 * 0.25 + 0.1 * g, v = 0.999 * 0.5 + 0.001 * g * g;
    // A handful of fp32 operations on numbers below 4.
    EXPECT_NEAR(double{first[i]}, m, 2e-6);
    EXPECT_NEAR(double{second[i]}, v, 2e-6);
    EXPECT_NEAR(double{t.tile.alpha[i]}, double{before[i]} - 0.05 * m / (std::sqrt(v) + 1e-3), 2e-6);
  }
  EXPECT_EQ(deviation, expected_deviation);
}

TEST(SoftAlpha, InvertsH) {
  for (const float h : {0.0f, 0.125f, 0.5f, 0.9f, 1.0f}) {
    const float alpha = soft_alpha(h), zero = 0, one = 1;
    float back = -1;
    soft_deviation(&zero, &one, &alpha, 1, &back);
    EXPECT_NEAR(double{back}, double{h}, 5e-7);  // a few ulp of sigmoid times 1.2
  }
  EXPECT_EQ(soft_alpha(0.5f), 0);  // the upper level, by the rule alpha >= 0
}

TEST(AdaRounding, WithoutIterationsOrDescentItIsNearestForEveryFamily) {
  const Inputs in(200, 96, 7);
  AdaRounding options;
  options.iterations = 0;
  options.descent = false;
  for (const char* target : {"int4-g32", "int3-g32-asym", "int2-row", "e2m1-g32", "e4m3fn-row", "mxfp4", "mxint8",
                             "nvfp4", "nf4-g64", "table[-1;0;0.5;1]-g32", "int4-tensor", "int4-block16x32",
                             "e2m1-g32-m2floor", "int3-g32-mse", "e3m2-g32-m1", "nf4-g32-mse"}) {
    DenseMatrix w = normal_matrix(70, 96, 8);
    for (size_t i = 0; i < 32; ++i) w.values()[i] = 0;  // a group of zeros
    AdaRoundReport report;
    const auto q = learn_rounding(w, target, in.layer(), options, &report);
    const auto diagonal_weighted = [&] {
      std::vector<float> diagonal;
      for (int64_t c = 0; c < 96; ++c) diagonal.push_back(in.second[static_cast<size_t>(c * 97)]);
      return diagonal;
    }();
    const bool searched = std::string(target).find("mse") != std::string::npos;
    RoundReport nearest_report;
    const auto nearest =
        testing::round_matrix(w, target, &nearest_report, searched ? diagonal_weighted.data() : nullptr);
    // h >= 1/2 takes ties up, nearest rounding to even: equal errors, of which nearest rounding's code is kept.
    EXPECT_EQ(q->decode_all(), nearest->decode_all()) << target;
    EXPECT_EQ(report.flipped, 0) << target;
    EXPECT_EQ(report.output_error, report.output_error_nearest) << target;
    EXPECT_NEAR(report.rounding.weight_error, nearest_report.weight_error, 1e-9) << target;
    EXPECT_EQ(report.rounding.zero_groups, nearest_report.zero_groups) << target;
  }
}

TEST(AdaRounding, BeatsNearestForEveryFamilyAndReportsTheTokensError) {
  const Inputs in(200, 96, 9);
  AdaRounding options;
  options.iterations = 60;
  for (const char* target : {"int4-g32", "int3-g32-asym", "int2-row", "e2m1-g32", "mxfp4", "nvfp4", "nf4-g64",
                             "int4-block16x32", "int4-g32-mse"}) {
    const DenseMatrix w = normal_matrix(70, 96, 10);
    AdaRoundReport report;
    const auto q = learn_rounding(w, target, in.layer(), options, &report);
    const double tokens = token_loss(in, in.x, w, *q);
    EXPECT_NEAR(report.output_error, tokens, 1e-4 * tokens) << target;
    EXPECT_LT(report.output_error, 0.7 * report.output_error_nearest) << target;
    EXPECT_GT(report.flipped, 0) << target;
    q->check_values("w");
  }
}

// Row by row, whatever the optimizer did: here it cannot settle at all.
TEST(AdaRounding, NoRowIsWorseThanNearest) {
  const Inputs in(200, 96, 11);
  AdaRounding wild;
  wild.iterations = 9;
  wild.learning_rate = 30;
  wild.descent = false;
  const DenseMatrix w = normal_matrix(70, 96, 12);
  AdaRoundReport report;
  const auto learned = learn_rounding(w, "int3-g32", in.layer(), wild, &report)->decode_all();
  const auto nearest = testing::round_matrix(w, "int3-g32")->decode_all();
  for (int64_t r = 0; r < 70; ++r) {
    const float* row = w.values().data() + r * 96;
    const double limit = token_loss(in, in.x, row, nearest.data() + r * 96);
    EXPECT_LE(token_loss(in, in.x, row, learned.data() + r * 96), limit * (1 + 1e-5)) << r;  // fp32 losses
  }
  EXPECT_GT(report.rows_kept_nearest, 0);
}

/// The least loss over all 2^d choices between enclosing levels of int4 with the scale that nearest rounding chose.
double exact_optimum(const Inputs& in, const std::vector<float>& target, const float* w, float scale) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<float> q(static_cast<size_t>(in.d));
  for (uint32_t choice = 0; choice < 1u << in.d; ++choice) {
    for (int64_t c = 0; c < in.d; ++c) {
      const float below = std::floor(w[c] / scale), level = below + static_cast<float>(choice >> c & 1u);
      q[static_cast<size_t>(c)] = scale * std::clamp(level, -8.0f, 7.0f);
    }
    least = std::min(least, token_loss(in, target, w, q.data()));
  }
  return least;
}

// Finding the optimum is NP-hard, and neither learning nor single flips need reach it: asked is three quarters of the
// way there from nearest rounding, which here loses more than twice the optimum.
TEST(AdaRounding, ComesNearTheExactOptimum) {
  const Inputs in(40, 10, 13, 0.02);
  const DenseMatrix w = normal_matrix(24, 10, 14);
  const auto nearest = testing::round_matrix(w, "int4-row-f32");
  for (const bool with_cross : {false, true}) {
    const auto& target = with_cross ? in.f : in.x;
    const auto q = learn_rounding(w, "int4-row-f32", in.layer(with_cross), {});
    double optimum = 0;
    for (int64_t r = 0; r < w.rows(); ++r) {
      float scale = 0;
      uint8_t zero = 0;
      nearest->grid()->scales_of_row(r, &scale, &zero);
      optimum += exact_optimum(in, target, w.values().data() + r * in.d, scale);
    }
    const double learned = token_loss(in, target, w, *q), rounded = token_loss(in, target, w, *nearest);
    EXPECT_GE(learned, optimum * (1 - 1e-5));
    EXPECT_LE(learned, optimum + 0.25 * (rounded - optimum)) << with_cross << ' ' << optimum << ' ' << rounded;
    EXPECT_GT(rounded, 2 * optimum);
  }
}

// After descent no single flip lowers the loss: checked against tokens.
TEST(Descent, EndsWhereNoFlipHelps) {
  const Inputs in(60, 12, 15);
  const DenseMatrix w = normal_matrix(8, 12, 16);
  AdaRounding options;
  options.iterations = 0;
  const auto q = learn_rounding(w, "int4-row-f32", in.layer(), options);
  auto values = q->decode_all();
  for (int64_t r = 0; r < 8; ++r) {
    float scale = 0;
    uint8_t zero = 0;
    q->grid()->scales_of_row(r, &scale, &zero);
    const float* row = w.values().data() + r * 12;
    float* mine = values.data() + r * 12;
    const double loss = token_loss(in, in.x, row, mine);
    for (int64_t c = 0; c < 12; ++c) {
      const float kept = mine[c], below = scale * std::floor(row[c] / scale);
      if (row[c] / scale >= 7) continue;
      mine[c] = kept == below ? scale * (std::floor(row[c] / scale) + 1) : below;
      EXPECT_GE(token_loss(in, in.x, row, mine), loss * (1 - 1e-5));
      mine[c] = kept;
    }
  }
}

// Papers' floating-point page, 6.3: on minifloats the lattice is not the scale's multiples. Levels of e2m1 around 4.6
// are 4 and 6, around 2.2 are 2 and 3; the soft start reproduces the weights.
TEST(GridLevels, EnclosesOnTheFormatsOwnLevels) {
  const GridLevels lattice(parse_grid("e2m1-row"));
  const auto expect = [&](float y, float lower, float upper) {
    const GridLevels::Enclosure two = lattice.enclose(y, 0);
    EXPECT_EQ(lattice.level(two.lower, 0), lower) << y;
    EXPECT_EQ(lattice.level(two.upper, 0), upper) << y;
  };
  expect(4.6f, 4, 6), expect(2.2f, 2, 3), expect(0.3f, 0, 0.5f), expect(-3.5f, -4, -3), expect(-0.1f, -0.5f, 0);
  expect(2, 2, 3), expect(6, 6, 6), expect(7, 6, 6), expect(-6, -6, -4), expect(-9, -6, -6);
  const GridLevels integers(parse_grid("int4-row-asym"));
  const GridLevels::Enclosure two = integers.enclose(-2.5f, 5);
  EXPECT_EQ(integers.level(two.lower, 5), -3);
  EXPECT_EQ(integers.code(two.lower), 2);
  EXPECT_EQ(integers.enclose(-5.5f, 5).upper, 0);
}

// Weights between the levels of one minifloat group start where they are: without a regularizer and a cross moment the
// gradient is zero at the start, so nothing moves and the result is nearest rounding.
TEST(AdaRounding, TheSoftStartReproducesTheWeights) {
  const Inputs in(100, 64, 17);
  const DenseMatrix w = normal_matrix(16, 64, 18);
  AdaRounding options;
  options.iterations = 30;
  options.regularizer = 0;
  options.descent = false;
  // fp32 scales and levels up to the range's end: nothing is clipped, whose error the others would compensate.
  for (const char* target : {"e2m1-g32-f32", "e3m2-row-f32", "int4-narrow-g32-f32", "nf4-g64-f32"}) {
    AdaRoundReport report;
    learn_rounding(w, target, in.layer(), options, &report);
    EXPECT_EQ(report.flipped, 0) << target;
    EXPECT_GT(report.output_error_nearest, 0) << target;
  }
}

TEST(AdaRounding, SameBytesForAnyNumberOfThreads) {
  const Inputs in(100, 96, 19);
  const DenseMatrix w = normal_matrix(200, 96, 20);
  AdaRounding options;
  options.iterations = 20;
  const auto a = learn_rounding(w, "int3-g32", in.layer(true), options, nullptr, 1),
             b = learn_rounding(w, "int3-g32", in.layer(true), options, nullptr, 3);
  for (size_t i = 0; i < a->parts().size(); ++i) {
    const auto &x = a->parts()[i].bytes, &y = b->parts()[i].bytes;
    ASSERT_EQ(x.size(), y.size());
    EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size()), 0);
  }
}

// Scales by powers of two change no bit of the learning: units make it free of scale.
TEST(AdaRounding, DoesNotDependOnTheSizesOfWeightsAndInputs) {
  Inputs in(100, 64, 21);
  DenseMatrix w = normal_matrix(16, 64, 22);
  AdaRounding options;
  options.iterations = 25;
  AdaRoundReport small, large;
  learn_rounding(w, "int3-g32-f32", in.layer(), options, &small);
  for (float& value : in.second) value *= 0x1p20f;
  for (float& value : w.values()) value *= 0x1p-6f;
  learn_rounding(w, "int3-g32-f32", in.layer(), options, &large);
  EXPECT_EQ(large.output_error, small.output_error * 0x1p8);
  EXPECT_EQ(large.flipped, small.flipped);
}

TEST(AdaRounding, UnusedChannelsKeepNearestCodes) {
  Inputs in(100, 64, 23);
  in.silence(7), in.silence(40);
  const DenseMatrix w = normal_matrix(70, 64, 24);
  const auto q = learn_rounding(w, "int3-g32", in.layer(true), {})->decode_all();
  const auto nearest = testing::round_matrix(w, "int3-g32")->decode_all();
  for (size_t r = 0; r < 70; ++r) {
    for (const size_t c : {7, 40}) EXPECT_EQ(q[r * 64 + c], nearest[r * 64 + c]);
  }
}

TEST(AdaRounding, RefusesWhatMakesNoSense) {
  const Inputs in(20, 32, 25);
  const DenseMatrix w = normal_matrix(4, 32, 26), narrow = normal_matrix(4, 16, 27);
  EXPECT_THROW(learn_rounding(narrow, "int4-row", in.layer(), {}), Error);
  AdaRounding options;
  options.warmup = 1.5;
  EXPECT_THROW(learn_rounding(w, "int4-row", in.layer(), options), Error);
  options = {};
  options.iterations = -1;
  EXPECT_THROW(learn_rounding(w, "int4-row", in.layer(), options), Error);
  options = {};
  options.learning_rate = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(learn_rounding(w, "int4-row", in.layer(), options), Error);
  DenseMatrix bad = w;
  bad.values()[3] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(learn_rounding(bad, "int4-row", in.layer(), {}), Error);
}

// The moments that calibration collects, against the dense means; and the common measure of output error.
TEST(AdaRounding, TakesTheMomentsOfCalibration) {
  const Inputs in(300, 64, 28);
  const DenseMatrix w = normal_matrix(70, 64, 29);
  ThreadPool threads(2);
  SecondMoment moment(64);
  CrossMoment cross(64);
  const GridTarget target = parse_grid_target("int3-g32");
  EXPECT_THROW(quantize_adaround("w", w, target, moment, nullptr, {}, threads), Error);  // no token
  moment.add(in.x.data(), 300, 64, threads);
  cross.add(in.f.data(), in.x.data(), 300, 64, threads);
  AdaRoundReport report;
  const auto plain = quantize_adaround("w", w, target, moment, nullptr, {}, threads, &report);
  EXPECT_NEAR(report.output_error, output_error(w, *plain, moment, threads), 1e-5 * report.output_error);
  const auto corrected = quantize_adaround("w", w, target, moment, &cross, {}, threads);
  EXPECT_LT(token_loss(in, in.f, w, *corrected), token_loss(in, in.f, w, *plain));
  EXPECT_LT(token_loss(in, in.x, w, *plain), token_loss(in, in.x, w, *corrected));
  const CrossMoment other(32);
  EXPECT_THROW(quantize_adaround("w", w, target, moment, &other, {}, threads), Error);
}

/// A line of tests/golden/round/adaround.txt.
std::vector<float> golden_line(const std::string& name) { return testing::golden_line("round/adaround.txt", name); }

// tests/oracle/round_adaround.py takes the same steps on tokens, in fp64.
TEST(Learn, EqualsAnIndependentRunOnTokens) {
  const auto sizes = golden_line("sizes"), given = golden_line("options");
  ASSERT_EQ(sizes.size(), 4u);
  ASSERT_EQ(given.size(), 6u);
  Inputs in(static_cast<int64_t>(sizes[0]), static_cast<int64_t>(sizes[2]), 1);
  in.x = golden_line("x"), in.f = golden_line("f");
  in.moments();
  AdaRounding options;
  options.iterations = static_cast<int64_t>(sizes[3]);
  options.regularizer = double{given[0]}, options.ramp = double{given[1]};
  options.beta_start = double{given[2]}, options.beta_end = double{given[3]};
  options.warmup = double{given[4]}, options.learning_rate = double{given[5]};
  const auto w = golden_line("w"), low = golden_line("low"), start = golden_line("start"), end = golden_line("end");
  SoftTile tile;
  tile.rows = static_cast<int64_t>(sizes[1]);
  tile.step = golden_line("step"), tile.alpha = start;
  for (size_t i = 0; i < w.size(); ++i) tile.base.push_back(low[i] - w[i]);
  set_pull(in.layer(true), w.data(), tile);
  learn(in.layer(true), options, tile);
  double moved = 0;
  for (size_t i = 0; i < end.size(); ++i) {
    moved += std::abs(double{end[i]} - double{start[i]});
    // Each of 12 steps moves alpha by about the rate, 0.05, with a relative error of a few 1e-6 from fp32 sums.
    EXPECT_NEAR(double{tile.alpha[i]}, double{end[i]}, 1e-5) << i;
  }
  EXPECT_GT(moved / static_cast<double>(end.size()), 0.1);
}

// The paper's schedule, by hand: 100 iterations of which 20 are warmup, beta 20 to 2 over the rest.
TEST(StepAt, FollowsTheSchedule) {
  AdaRounding paper;
  paper.iterations = 101;
  paper.warmup = 0.2;
  paper.ramp = 0;
  paper.regularizer = 0.5;
  paper.beta_start = 20, paper.beta_end = 2;
  paper.learning_rate = 0.01;
  EXPECT_EQ(step_at(paper, 19).regularizer, 0);
  EXPECT_EQ(step_at(paper, 20).regularizer, 0.5f);
  EXPECT_EQ(step_at(paper, 20).beta, 20);
  EXPECT_EQ(step_at(paper, 60).beta, 11);
  EXPECT_EQ(step_at(paper, 100).beta, 2);
  // Adam's first step has the length of the learning rate: m / sqrt(v) = 0.1 g / sqrt(0.001) g.
  // 0.999 in fp32 is off by up to 2^-25, 3e-5 of 1 - 0.999, of which the root takes half.
  EXPECT_NEAR(double{step_at(paper, 0).rate} * 0.1 / std::sqrt(0.001), 0.01, 0.01 * 1.5e-5);
  paper.ramp = 2;
  EXPECT_EQ(step_at(paper, 60).regularizer, 0.125f);
}

}  // namespace
}  // namespace bitloom
