#include "tune/learned/latent_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/memory/dense_matrix.h"
#include "base/test_data.h"
#include "tune/adam.h"
#include "tune/learned/test_matrix.h"

namespace bitloom {
namespace {

using testing::LearnedMatrix;
using testing::normal_numbers;
using testing::rounded_matrix;

/// Of a grid's latent weights.
struct Latent : LearnedMatrix {
  Latent(const std::string& text, int64_t row_count, const std::vector<float>& w) {
    matrix = rounded_matrix(text, row_count, w, threads);
    begin(latent_grid(*matrix));
  }
};

/// A line of tests/golden/tune/straight_through.txt.
std::vector<float> golden_line(const std::string& name) {
  return testing::golden_line("tune/straight_through.txt", name);
}

class GradientsIn : public ::testing::TestWithParam<std::string> {};

// tests/oracle/tune_straight_through.py has them of torch's autograd. The range of a minifloat, c, is the scale times
// the greatest level. Numbers here are fp32, in groups of 8 products of some 1.
TEST_P(GradientsIn, AreThoseOfTorch) {
  const std::string format = GetParam();
  const auto line = [&](const char* suffix) { return golden_line(format + suffix); };
  Latent latent(format + "-g8", static_cast<int64_t>(golden_line("rows").at(0)), line("_w"));
  ASSERT_EQ(golden_line("group"), std::vector<float>{8});
  const float most = format == "int3" ? 1 : grid_of(latent.matrix->grid()->storage().format).max_abs;
  latent.values = {line("_w"), line("_range")};
  for (float& scale : latent.values[1]) scale /= most;
  const std::vector<float> expected = line("_rounded"), w = latent.dense();
  const auto gradients = latent.gradients(golden_line("g"));
  const std::vector<float> dw = line("_dw"), drange = line("_drange");
  int clipped = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_NEAR(w[i], expected[i], 1e-6 * std::abs(expected[i])) << i;
    EXPECT_FLOAT_EQ(static_cast<float>(gradients[0][i]), dw[i]) << i;
    clipped += dw[i] == 0 ? 1 : 0;
  }
  EXPECT_GT(clipped, 4);
  for (size_t i = 0; i < drange.size(); ++i) {
    EXPECT_NEAR(gradients[1][i] / static_cast<double>(most), drange[i], 1e-5) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GradientsIn, ::testing::Values("int3", "e2m1", "e3m2"),
                         [](const auto& format) { return format.param; });

// int2 has levels -2 to 1: at s = 0.5 gradients pass from -1.25 to 0.75.
TEST(LatentGrid, GradientsPassHalfAStepBeyondTheLevels) {
  Latent latent("int2-row", 1, {-1, -0.5f, 0, 0.5f});
  latent.values = {{0.7f, 0.8f, -1.2f, -1.3f}, {0.5f}};
  const auto gradients = latent.gradients({1, 10, 100, 1000});
  EXPECT_EQ(latent.dense(), (std::vector<float>{0.5f, 0.5f, -1, -1}));
  EXPECT_EQ(gradients[0], (std::vector<double>{1, 0, 100, 0}));
  EXPECT_NEAR(gradients[1][0], 1 * (1 - 1.4) + 10 * 1 + 100 * (-2 + 2.4) + 1000 * -2, 1e-4);
}

// Codes 0 to 3 with the zero point 1: numbers -1 to 2.
TEST(LatentGrid, ZeroPointsMoveTheRange) {
  Latent latent("int2-row-asym", 1, {-0.5f, 0, 0.5f, 1});
  ASSERT_EQ(latent.values[1], std::vector<float>{0.5f});
  latent.values[0] = {-0.7f, -0.8f, 1.2f, 1.3f};
  EXPECT_EQ(latent.dense(), (std::vector<float>{-0.5f, -0.5f, 1, 1}));
  EXPECT_EQ(latent.gradients({1, 10, 100, 1000})[0], (std::vector<double>{1, 0, 100, 0}));
}

class LatentGridOf : public ::testing::TestWithParam<const char*> {};

// Latent weights begin at W, and wherever they and scales are, what is stored decodes to the W that was seen.
TEST_P(LatentGridOf, IsWhatIsStored) {
  constexpr int64_t kRows = 80, kCols = 48;
  Latent latent(GetParam(), kRows, normal_numbers(kRows * kCols, 1));
  EXPECT_EQ(latent.dense(), latent.matrix->decode_all());
  const auto same = latent.stored();
  for (size_t p = 0; p < same->parts().size(); ++p) {
    const auto now = same->parts()[p].bytes, before = latent.matrix->parts()[p].bytes;
    EXPECT_TRUE(std::equal(now.begin(), now.end(), before.begin(), before.end())) << same->parts()[p].suffix;
  }
  const std::vector<float> noise = normal_numbers(kRows * kCols, 2);
  for (size_t i = 0; i < noise.size(); ++i) latent.values[0][i] += 0.5f * noise[i];
  if (latent.values.size() > 1) {
    for (float& scale : latent.values[1]) scale = f16_to_f32(f32_to_f16(0.875f * scale));
    latent.values[1][0] = 0;
  }
  const auto moved = latent.stored();
  moved->check_values("w");
  EXPECT_EQ(moved->storage(), latent.matrix->storage());
  EXPECT_EQ(moved->stored_bytes(), latent.matrix->stored_bytes());
  EXPECT_EQ(moved->decode_all(), latent.dense());
  EXPECT_NE(moved->decode_all(), latent.matrix->decode_all());
  ThreadPool one(1);
  EXPECT_EQ(latent.parts->unscaled(latent.pointers(), one), latent.parts->unscaled(latent.pointers(), latent.threads));
}

TEST_P(LatentGridOf, TakesWhatItAnnounces) {
  const Latent latent(GetParam(), 80, normal_numbers(80 * 48, 1));
  int64_t values = 0;
  for (const LearnedPart& part : latent.parts->parts()) values += static_cast<int64_t>(part.start.size());
  const LearnedSize size = learned_size(latent.matrix->spec(), 80, 48, Learned::kAllAndWeights);
  EXPECT_EQ(size.values, values);
  EXPECT_EQ(size.rounded, 80 * 48);
}

INSTANTIATE_TEST_SUITE_P(Storages, LatentGridOf,
                         ::testing::Values("int2-g16", "int3-row", "int4-g16-asym", "int4-tensor", "int4-block16x8",
                                           "int8-row-narrow", "e2m1-g16", "e4m3fn-row", "e5m2-row", "nf4-g16", "mxfp4",
                                           "nvfp4"),
                         [](const auto& storage) {
                           std::string name = storage.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

TEST(LatentGrid, ScalesThatAreNoFp16NumbersStay) {
  for (const char* text : {"mxfp4", "nvfp4", "e5m2-row"}) {
    const Latent latent(text, 4, normal_numbers(4 * 32, 1));
    EXPECT_EQ(latent.parts->parts().size(), 1u) << text;
  }
}

// LSQ's factor on the gradients of scales, 1 / sqrt(N Q_max), is one of a whole vector.
TEST(LatentGrid, StepsOfAdamDoNotDependOnTheFactorOfLsq) {
  const double factor = 1 / std::sqrt(64 * 3.0);
  AdamState plain = begin_adam({{"s", {0.5f, 0.25f}}}), scaled = plain;
  for (int step = 0; step < 5; ++step) {
    const std::vector<double> g = {0.01 * (step + 1), -0.02 / (step + 1)};
    adam_step({{"s", g}}, {{"s", 0.4}}, 0.01, plain);
    adam_step({{"s", {factor * g[0], factor * g[1]}}}, {{"s", 0.4}}, 0.01, scaled);
  }
  for (size_t i = 0; i < 2; ++i) EXPECT_FLOAT_EQ(plain.values.at("s")[i], scaled.values.at("s")[i]);
}

TEST(LatentGrid, OthersAreLearnedAsBefore) {
  const Storage trellis = parse_target("trellis2-l12").storage, turned = parse_target("int4-g16+frame-in16").storage;
  EXPECT_FALSE(has_latent_weights(trellis));
  EXPECT_FALSE(has_latent_weights(turned));
  EXPECT_EQ(learned_size(parse_target("aq2x4-g8").storage, 80, 48, Learned::kAllAndWeights).values,
            learned_size(parse_target("aq2x4-g8").storage, 80, 48, Learned::kAll).values);
}

/// The same matrix with its codes as another method might have left them: every fifth one level lower.
std::shared_ptr<const StoredMatrix> with_other_codes(const std::string& text, int64_t rows, const std::vector<float>& w,
                                                     ThreadPool& threads) {
  const auto matrix = rounded_matrix(text, rows, w, threads);
  std::vector<float> other = matrix->decode_all();
  const auto cols = static_cast<size_t>(matrix->cols());
  std::vector<float> scales(cols);
  std::vector<uint8_t> zeros(cols);
  for (size_t i = 0; i < other.size(); i += 5) {
    matrix->grid()->scales_of_row(static_cast<int64_t>(i / cols), scales.data(), zeros.data());
    other[i] -= scales[i % cols / static_cast<size_t>(matrix->grid()->shape().group_cols)];
  }
  const auto latent = latent_grid(*matrix);
  Parametrisation::Values values;
  values.parts.push_back(&other);
  if (latent->parts().size() > 1) values.parts.push_back(&latent->parts()[1].start);
  return latent->store("w", matrix, values);
}

/// Of a matrix's product.
struct Corrected : LearnedMatrix {
  Corrected(const std::string& text, int64_t rank) : w(normal_numbers(12 * 32, 3)) {
    matrix = with_other_codes(text, 12, w, threads);
    begin(corrected_grid(*matrix, *dense_matrix(12, 32, w), {rank, 7, 1}));
  }
  std::vector<float> w;
};

class CorrectedGrids : public ::testing::TestWithParam<std::string> {};

// Also where codes are not those nearest to the weights.
TEST_P(CorrectedGrids, BeginWithTheMatrixAsItIs) {
  Corrected corrected(GetParam(), 3);
  const std::vector<float> decoded = corrected.matrix->decode_all();
  EXPECT_EQ(corrected.dense(), decoded);
  EXPECT_NE(rounded_matrix(GetParam(), 12, corrected.w, corrected.threads)->decode_all(), decoded);
  EXPECT_EQ(corrected.stored()->decode_all(), decoded);
}

// What is stored is what the forward pass saw.
TEST_P(CorrectedGrids, StoreWhatWasLearned) {
  Corrected corrected(GetParam(), 3);
  corrected.values[0] = normal_numbers(12 * 3, 8);
  for (float& a : corrected.values[0]) a *= 0.2f;
  const std::vector<float> seen = corrected.dense();
  EXPECT_NE(seen, corrected.matrix->decode_all());
  const auto stored = corrected.stored();
  EXPECT_EQ(stored->decode_all(), seen);
  EXPECT_EQ(stored->spec(), corrected.matrix->spec());
}

// Gradients of A and B are those of the weights that a latent grid has there, times B and A.
TEST_P(CorrectedGrids, HaveTheGradientsOfTheProduct) {
  constexpr int64_t kRank = 2;
  Corrected corrected(GetParam(), kRank);
  std::vector<float>&a = corrected.values[0], &b = corrected.values[1];
  const std::vector<float> g = normal_numbers(12 * 32, 11);
  // Of weights well within the levels gradients pass whole: G B^T and A^T G.
  a = normal_numbers(12 * kRank, 12);
  for (float& value : a) value *= 1e-4f;
  const std::vector<std::vector<double>> of = corrected.gradients(g);
  for (size_t r = 0; r < 12; ++r) {
    for (size_t k = 0; k < kRank; ++k) {
      double sum = 0;
      for (size_t c = 0; c < 32; ++c) sum += static_cast<double>(g[r * 32 + c]) * static_cast<double>(b[k * 32 + c]);
      EXPECT_NEAR(of[0][r * kRank + k], sum, 1e-5) << r << ", " << k;
    }
  }
  for (size_t k = 0; k < kRank; ++k) {
    for (size_t c = 0; c < 32; ++c) {
      double sum = 0;
      for (size_t r = 0; r < 12; ++r) sum += static_cast<double>(a[r * kRank + k]) * static_cast<double>(g[r * 32 + c]);
      EXPECT_NEAR(of[1][k * 32 + c], sum, 1e-8) << k << ", " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, CorrectedGrids, ::testing::Values("int4-g8", "int3-row-asym", "e2m1-g16", "mxfp4"),
                         [](const auto& format) {
                           std::string name = format.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The published way: codes stay while the product is learned, and what is stored is the sum rounded anew.
TEST(CorrectedBeside, RoundsTheSum) {
  ThreadPool threads(1);
  const std::vector<float> w = normal_numbers(12 * 32, 3);
  const auto matrix = rounded_matrix("int4-g8", 12, w, threads);
  const auto round = [&](const RowSource& sum) { return rounded_matrix("int4-g8", 12, sum.decode_all(), threads); };
  const auto parts = corrected_beside(*matrix, dense_matrix(12, 32, w), {2, 7, 1}, round);
  std::vector<std::vector<float>> values = {normal_numbers(24, 5), parts->parts()[1].start};
  const Parametrisation::Values pointers{{&values[0], &values[1]}, nullptr};
  std::vector<float> seen = parts->unscaled(pointers, threads), sum = w;
  const std::vector<float> decoded = matrix->decode_all();
  EXPECT_EQ(seen, decoded);
  for (size_t r = 0; r < 12; ++r) {
    parts->scale_row(pointers, static_cast<int64_t>(r), seen.data() + r * 32);
    for (size_t c = 0; c < 32; ++c) {
      const float product = values[0][2 * r] * values[1][c] + values[0][2 * r + 1] * values[1][32 + c];
      EXPECT_NEAR(seen[r * 32 + c], decoded[r * 32 + c] + product, 1e-5);
      sum[r * 32 + c] += product;
    }
  }
  const std::vector<float> stored = parts->store("w", matrix, pointers)->decode_all(),
                           expected = round(*dense_matrix(12, 32, sum))->decode_all();
  int same = 0;  // but for sums beside a tie, taken in another order
  for (size_t i = 0; i < stored.size(); ++i) same += stored[i] == expected[i] ? 1 : 0;
  EXPECT_GE(same, 12 * 32 - 4);
}

}  // namespace
}  // namespace bitloom
