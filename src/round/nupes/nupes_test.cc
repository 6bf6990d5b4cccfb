#include "round/nupes/nupes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "format/table/fitted_table.h"
#include "round/nupes/code_descent.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

// ---- descent over all codes ----------------------------------------------------------------------------------------

struct Layer {
  std::vector<float> second;
  LayerStatistics statistics;
};

Layer correlated_layer(int64_t d) {
  ThreadPool threads(1);
  const InputStatistics inputs = testing::correlated_inputs(
      d, 4 * d, 0.9f, [](int64_t c) { return c % 7 == 0 ? 3.0f : 1.0f; }, threads);
  Layer layer;
  layer.second.resize(static_cast<size_t>(d * d));
  inputs.moment->copy_to(layer.second.data(), threads);
  layer.statistics = {d, layer.second.data(), nullptr};
  return layer;
}

double loss_of(const Layer& layer, const std::vector<float>& deviation) {
  const auto d = static_cast<size_t>(layer.statistics.channels);
  double loss = 0;
  for (size_t i = 0; i < d; ++i) {
    for (size_t j = 0; j < d; ++j)
      loss += double{deviation[i]} * double{layer.second[i * d + j]} * double{deviation[j]};
  }
  return loss;
}

TEST(CodeDescent, EndsWhereNoCodeAloneIsBetter) {
  constexpr int64_t kD = 24;
  const Layer layer = correlated_layer(kD);
  const Grid grid = grid_of(*find_format("pow4[0.6]"));
  Rng rng(2, 2);
  std::vector<float> w(kD), deviation(kD), half(kD);
  const std::vector<float> scales = {2.0f, 3.0f};
  std::vector<uint8_t> codes(kD);
  for (size_t i = 0; i < w.size(); ++i) {
    w[i] = static_cast<float>(rng.normal());
    codes[i] = encode_nearest(grid, w[i] / scales[i / 16], Ties::kEven);
    deviation[i] = scales[i / 16] * grid.decode[codes[i]] - w[i];
  }
  SoftTile tile;
  tile.rows = 1;
  half_gradient(layer.statistics, tile, deviation.data(), half.data());
  const double before = loss_of(layer, deviation);
  const double gained = descend_codes(layer.statistics, grid, 1000,
                                      {w.data(), scales.data(), 16, codes.data(), deviation.data(), half.data()});
  const double after = loss_of(layer, deviation);
  EXPECT_NEAR(before - after, gained, 1e-4 * before);
  EXPECT_LT(after, 0.7 * before);
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_NEAR(deviation[i], scales[i / 16] * grid.decode[codes[i]] - w[i], 1e-5);
    for (const float level : grid.levels) {
      std::vector<float> other = deviation;
      other[i] = scales[i / 16] * level - w[i];
      EXPECT_GT(loss_of(layer, other), after * (1 - 1e-4)) << i;
    }
  }
}

// ---- the method ----------------------------------------------------------------------------------------------------

std::shared_ptr<const StoredMatrix> learned(const RowSource& w, const char* target, const NupesRounding& options,
                                            const Layer& layer, NupesReport* report = nullptr, int thread_count = 2) {
  ThreadPool threads(thread_count);
  return quantize_nupes("w", w, parse_grid_target(target), layer.statistics, options, threads, report);
}

double output_error(const RowSource& w, const StoredMatrix& q, const Layer& layer) {
  const std::vector<float> a = w.decode_all(), b = q.decode_all();
  double error = 0;
  for (int64_t r = 0; r < w.rows(); ++r) {
    std::vector<float> deviation;
    for (int64_t c = 0; c < w.cols(); ++c) {
      const auto i = static_cast<size_t>(r * w.cols() + c);
      deviation.push_back(b[i] - a[i]);
    }
    error += loss_of(layer, deviation);
  }
  return error;
}

TEST(Nupes, BeatsPowerOnlyClipOnlyAndAdaRound) {
  const Layer layer = correlated_layer(96);
  const DenseMatrix w = testing::normal_matrix(80, 96, 11);
  for (const std::string bits : {"4", "3"}) {
    NupesReport report;
    const auto q = learned(w, ("pow" + bits + "[0.8]-row-mse").c_str(), {}, layer, &report);
    const double error = output_error(w, *q, layer);
    EXPECT_NEAR(report.output_error, error, 1e-3 * error);
    EXPECT_LT(report.output_error, report.output_error_adaround);
    EXPECT_LT(report.output_error_adaround, 0.5 * report.output_error_nearest);
    const auto power = testing::round_matrix(w, "pow" + bits + "[0.7]-row");
    const auto clip = testing::round_matrix(w, "int" + bits + "-narrow-row-mse");
    EXPECT_LT(error, 0.5 * output_error(w, *power, layer)) << bits;
    EXPECT_LT(error, 0.5 * output_error(w, *clip, layer)) << bits;
  }
}

TEST(Nupes, FindsTheExponentAndNamesItInTheStorage) {
  const Layer layer = correlated_layer(64);
  Rng rng(5, 1);
  std::vector<float> values(64 * 64);
  // Cubes of normal numbers: small exponents suit them.
  for (float& x : values) x = static_cast<float>(std::pow(rng.normal(), 3));
  const DenseMatrix w(64, 64, values);
  NupesReport report;
  const auto q = learned(w, "pow4[1]-row-mse", {}, layer, &report);
  EXPECT_LT(report.exponent, 0.7);
  EXPECT_EQ(to_string(q->spec()), fmt::format("pow4[{}]-row", static_cast<float>(report.exponent)));
  q->check_values("w");
  NupesReport fixed;
  learned(w, "pow4[1]-row-mse", {.exponent = false}, layer, &fixed);
  EXPECT_EQ(fixed.exponent, 1);
  EXPECT_LT(report.output_error, 0.8 * fixed.output_error);
}

TEST(Nupes, TheSameForAnyNumberOfThreads) {
  const Layer layer = correlated_layer(48);
  const DenseMatrix w = testing::normal_matrix(150, 48, 12);
  NupesRounding quick;
  quick.iterations = 20;
  const auto one = learned(w, "pow3[0.7]-g16-mse", quick, layer, nullptr, 1);
  const auto three = learned(w, "pow3[0.7]-g16-mse", quick, layer, nullptr, 3);
  EXPECT_EQ(one->decode_all(), three->decode_all());
  EXPECT_EQ(one->storage(), three->storage());
}

TEST(Nupes, RefusesOtherGrids) {
  const Layer layer = correlated_layer(16);
  const DenseMatrix w = testing::normal_matrix(8, 16, 13);
  try {
    learned(w, "int4-row", {}, layer);
    ADD_FAILURE() << "rounded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("w: nupes learns codes of power grids, not of int4-row"));
  }
  EXPECT_FALSE(rounds_onto(NupesRounding{}, parse_storage("nf4-g64")));
  EXPECT_TRUE(rounds_onto(NupesRounding{}, parse_storage("pow4[matrix]-row")));
}

TEST(Nupes, ZerosStayZeros) {
  const Layer layer = correlated_layer(16);
  const DenseMatrix w(4, 16, std::vector<float>(64));
  const auto q = learned(w, "pow4[0.6]-row", {}, layer);
  for (const float value : q->decode_all()) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace bitloom
