#include "round/nearest/nearest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "base/error.h"
#include "base/test_data.h"
#include "format/every_format.h"
#include "round/round_matrix.h"
#include "round/scale/group_quantizer.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using testing::error_of;
using testing::normal_matrix;
using testing::report_of;
using testing::round_matrix;

const std::vector<std::string>& many_specs() {
  static const std::vector<std::string> kSpecs = {"int4-g32",
                                                  "int3-g48-asym",
                                                  "int8-tensor",
                                                  "int2-block3x16",
                                                  "int5-row-f32",
                                                  "int6-g7-bf16",
                                                  "e2m1-g16-m1",
                                                  "e3m2-g32-m2mse",
                                                  "int4-g32-m2ceil",
                                                  "e4m3fn-row",
                                                  "e5m2-tensor",
                                                  "nf4-g64",
                                                  "nf4-tensor-mse",
                                                  "mxfp4",
                                                  "mxfp4-rceil-mse",
                                                  "nvfp4",
                                                  "nvfp4-mse2",
                                                  "mxint8",
                                                  "int4-g32-mse",
                                                  "int4-tensor-p99",
                                                  "int4-g64-p90",
                                                  "int3-g32-asym-mse",
                                                  "int4-tensor-asym-p99.9",
                                                  "table[-1;0;1]-g32-mse",
                                                  "e2m1-tensor-pow2mse",
                                                  "int4-block2x8-m2round",
                                                  "fp4-bnb-row",
                                                  "e3m0-g16-e8m0-ceil",
                                                  "int4-tensor-asym-mse2-f32",
                                                  "int4-g32-mse2.4",
                                                  "iq4nl-g32-mse",
                                                  "int2-block3x16-mse",
                                                  "nf4-tensor-mse2.4",
                                                  "e2m1-tensor-e4m3x"};
  return kSpecs;
}

bool same_bytes(const StoredMatrix& a, const StoredMatrix& b) {
  for (size_t i = 0; i < a.parts().size(); ++i) {
    const auto x = a.parts()[i].bytes, y = b.parts()[i].bytes;
    if (x.size() != y.size() || !std::equal(x.begin(), x.end(), y.begin())) return false;
  }
  return true;
}

TEST(Nearest, SameBytesForAnyThreadCount) {
  const DenseMatrix w = normal_matrix(700, 210, 1);  // three tiles
  ThreadPool one(1), three(3);
  for (const std::string& target : many_specs()) {
    RoundReport a, b;
    const auto x = quantize_nearest("w", w, parse_grid_target(target), one, &a);
    const auto y = quantize_nearest("w", w, parse_grid_target(target), three, &b);
    EXPECT_TRUE(same_bytes(*x, *y)) << target;
    EXPECT_EQ(a, b) << target;
    x->check_values("w");
  }
}

TEST(Nearest, ReportIsWhatDecodes) {
  const DenseMatrix w = normal_matrix(40, 210, 2);
  for (const std::string& target : many_specs()) {
    RoundReport report;
    const std::vector<float> q = round_matrix(w, target, &report)->decode_all();
    double error = 0, norm = 0, largest = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      const double d = static_cast<double>(w.values()[i]) - q[i];
      error += d * d;
      norm += static_cast<double>(w.values()[i]) * w.values()[i];
      largest = std::max<double>(largest, std::abs(w.values()[i] - q[i]));
    }
    // Sums of 8400 positive doubles in another order: relative difference below 8400 * 2^-53.
    EXPECT_NEAR(report.weight_error, error / norm, error / norm * 2e-12) << target;
    EXPECT_EQ(report.max_abs_error, largest) << target;
  }
}

/// Every weight takes the level nearest to w / scale: no other code of its group's scale is closer.
TEST(Nearest, ChoosesTheNearestLevelOfTheStoredScale) {
  const DenseMatrix w = normal_matrix(6, 70, 3);
  for (const std::string& text : many_specs()) {
    const GridTarget target = parse_grid_target(text);
    const auto tensor = round_matrix(w, text);
    const ScaleShape shape = scale_shape(target.storage, 6, 70);
    const Grid grid = grid_of(target.storage.format);
    const std::vector<float> q = tensor->decode_all();
    std::vector<float> scales(static_cast<size_t>(shape.cols));
    std::vector<uint8_t> zeros(scales.size());
    for (int64_t i = 0; i < 6 * 70; ++i) {
      tensor->grid()->scales_of_row(i / 70 / shape.group_rows, scales.data(), zeros.data());
      const size_t g = static_cast<size_t>(i % 70 / shape.group_cols);
      const float x = w.values()[static_cast<size_t>(i)];
      const double mine = std::abs(static_cast<double>(x) - q[static_cast<size_t>(i)]);
      for (int code = 0; code < 1 << grid.bits; ++code) {
        const float level =
            target.storage.asymmetric ? static_cast<float>(code - zeros[g]) : grid.decode[static_cast<size_t>(code)];
        if (!std::isfinite(level)) continue;
        // w / scale is rounded to fp32 before levels are compared, and scale * level after: 2^-22 of the weight.
        ASSERT_LE(mine, std::abs(x - static_cast<double>(scales[g]) * level) + std::abs(x) * 0x1p-22)
            << text << " " << i;
      }
    }
  }
}

TEST(Nearest, ErrorFallsWithBits) {
  const DenseMatrix w = normal_matrix(32, 256, 4);
  const std::vector<std::vector<std::string>> families = {
      {"int2", "int3", "int4", "int5", "int6", "int7", "int8"},
      {"int2-narrow", "int3-narrow", "int4-narrow", "int5-narrow", "int6-narrow", "int7-narrow", "int8-narrow"},
      {"e2m0", "e2m1", "e2m2", "e2m3", "e2m4", "e2m5"},
      {"e3m0", "e3m1", "e3m2", "e3m3", "e3m4"},
      {"e4m0", "e4m1", "e4m2", "e4m3"}};
  for (const auto& family : families) {
    for (const char* scheme : {"-g32", "-row-mse", "-tensor", "-g32-e8m0", "-g16-e4m3x"}) {
      double last = 1;
      for (const std::string& format : family) {
        const double error = error_of(w, format + scheme);
        EXPECT_LT(error, last) << format << scheme;
        EXPECT_GT(error, 0) << format << scheme;
        last = error;
      }
    }
  }
  double last = 1;
  for (const char* target : {"int2-g32-asym", "int3-g32-asym", "int4-g32-asym", "int5-g32-asym", "int8-g32-asym"}) {
    EXPECT_LT(error_of(w, target), last) << target;
    last = error_of(w, target);
  }
}

TEST(Nearest, FinerGranularityIsBetter) {
  const DenseMatrix w = normal_matrix(64, 512, 5);
  for (const char* format : {"int4", "e2m1", "nf4"}) {
    const std::string f = format;
    EXPECT_LT(error_of(w, f + "-g32"), error_of(w, f + "-g128"));
    EXPECT_LT(error_of(w, f + "-g128"), error_of(w, f + "-row"));
    EXPECT_LT(error_of(w, f + "-row"), error_of(w, f + "-tensor"));
  }
}

/// E1My is the narrow integer grid in other units: the same numbers, also when scales are rounded to powers of two.
TEST(Nearest, ExponentOfOneBitEqualsNarrowInteger) {
  const DenseMatrix w = normal_matrix(16, 96, 6);
  for (int bits = 3; bits <= 8; ++bits) {
    const std::string minifloat = "e1m" + std::to_string(bits - 2), integer = "int" + std::to_string(bits) + "-narrow";
    for (const char* scheme : {"-g32-f32", "-row", "-g32-e8m0-rceil", "-g32-f32-mse", "-g32-m1"}) {
      EXPECT_EQ(round_matrix(w, minifloat + scheme)->decode_all(), round_matrix(w, integer + scheme)->decode_all())
          << bits << scheme;
    }
  }
}

TEST(Nearest, AsymmetricIsBetterOnSkewedWeights) {
  const DenseMatrix w = normal_matrix(32, 256, 7, 1.5);
  for (const char* bits : {"int2", "int3", "int4", "int6", "int8"}) {
    for (const char* scheme : {"-g64", "-row", "-g64-mse"}) {
      EXPECT_LT(error_of(w, std::string(bits) + scheme + "-asym"), error_of(w, std::string(bits) + scheme))
          << bits << scheme;
    }
  }
}

/// The clip search with exponent 2 minimises what the report measures, and the full range is among its candidates.
TEST(Nearest, ClipSearchNeverLoses) {
  const DenseMatrix w = normal_matrix(16, 192, 8);
  for (const Format& format : testing::every_format()) {
    const std::string name = name_of(format);
    if (format.index() == 2 && grid_of(format).max_abs > 1e6f)
      continue;  // levels of 1e30 beside 0.1: nothing to search
    for (const char* scheme : {"-g64-f32", "-row", "-g32-e8m0", "-g16-e4m3x"}) {
      // |e|^2 is summed in fp32 runs and equal candidates may swap: a relative 1e-5.
      EXPECT_LE(error_of(w, name + scheme + "-mse2"), error_of(w, name + scheme) * (1 + 1e-5)) << name << scheme;
    }
  }
  EXPECT_LT(error_of(w, "int2-g64-mse2"), 0.9 * error_of(w, "int2-narrow-g64"));
}

/// Candidates that are passed over because of one clipped weight are never the best: as with equal importance, which
/// switches that shortcut off.
TEST(Nearest, ClipSearchShortcutChangesNothing) {
  const DenseMatrix w = normal_matrix(16, 192, 18);
  const std::vector<float> equal(192, 1.0f);
  for (const char* target :
       {"int2-g32-mse2.4", "int4-g32-mse2.4", "int8-row-mse2.4", "int3-g64-asym-mse2.4", "e2m1-g16-e4m3x-mse2.4",
        "nf4-g64-mse2", "mxfp4-mse2.4", "e4m3fn-row-mse2.4", "table[0;1;3]-g32-mse2.4", "int4-block4x8-mse0.7"}) {
    EXPECT_TRUE(same_bytes(*round_matrix(w, target), *round_matrix(w, target, nullptr, equal.data()))) << target;
  }
}

TEST(Nearest, ImportanceSteersTheClipSearch) {
  DenseMatrix w = normal_matrix(8, 64, 9);
  for (int64_t r = 0; r < 8; ++r) w.values()[static_cast<size_t>(r * 64)] = 1.0f;  // an outlier in column 0
  std::vector<float> importance(64, 1.0f);
  const auto outlier_error = [&](const float* weights, const char* target) {
    return std::abs(round_matrix(w, target, nullptr, weights)->decode_all()[0] - 1.0f);
  };
  for (const char* target : {"int3-narrow-row-mse", "int3-narrow-tensor-mse", "e2m1-row-mse2"}) {
    importance[0] = 1e6f;
    EXPECT_LT(outlier_error(importance.data(), target), 0.1f) << target;
    importance[0] = 0;
    EXPECT_GT(outlier_error(importance.data(), target), 0.5f) << target;
  }
}

TEST(Nearest, RceilNeverSaturatesAndFloorDoes) {
  const DenseMatrix w = normal_matrix(64, 256, 10);
  for (const char* scheme : {"mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3", "mxfp8e5m2", "mxint8"}) {
    EXPECT_EQ(report_of(w, std::string(scheme) + "-rceil").saturated, 0) << scheme;
    EXPECT_EQ(report_of(w, std::string(scheme) + "-ceil").saturated, 0) << scheme;
  }
  EXPECT_GT(report_of(w, "mxfp4").saturated, 0);
  EXPECT_EQ(report_of(w, "int4-g32").saturated, 0);
  EXPECT_EQ(report_of(w, "int4-g32-m1").saturated, 0);
  EXPECT_EQ(report_of(w, "int4-g32-m2floor").saturated, 0);
  EXPECT_GT(report_of(w, "int4-g32-m2ceil").saturated, 0);  // its scales are smaller than asked for
}

TEST(Nearest, ConstraintsHold) {
  const DenseMatrix w = normal_matrix(16, 256, 11);
  const auto scales_of = [&](const char* target, int64_t row) {
    const auto tensor = round_matrix(w, target);
    std::vector<float> scales(8);
    std::vector<uint8_t> zeros(8);
    tensor->grid()->scales_of_row(row, scales.data(), zeros.data());
    return scales;
  };
  for (const char* option : {"-m1", "-pow2round", "-pow2floor", "-pow2mse"}) {
    for (const float s : scales_of(("e2m1-g32" + std::string(option)).c_str(), 3)) {
      EXPECT_EQ(std::exp2(static_cast<float>(floor_log2(s))), s) << option;
    }
  }
  for (const char* option : {"-m2ceil", "-m2round", "-m2floor", "-m2mse"}) {
    for (int64_t row = 0; row < 16; ++row) {
      const std::vector<float> free = scales_of("e2m1-g32", row);
      const std::vector<float> bound = scales_of(("e2m1-g32" + std::string(option)).c_str(), row);
      const float top = *std::max_element(free.begin(), free.end());
      EXPECT_EQ(*std::max_element(bound.begin(), bound.end()), top);
      for (const float s : bound) EXPECT_EQ(std::exp2(static_cast<float>(floor_log2(top / s))), top / s) << option;
    }
  }
  // One group: M2 changes nothing. Powers of two stay as they are.
  EXPECT_EQ(round_matrix(w, "int4-row-m2ceil")->decode_all(), round_matrix(w, "int4-row")->decode_all());
  EXPECT_EQ(round_matrix(w, "int4-tensor-m2mse")->decode_all(), round_matrix(w, "int4-tensor")->decode_all());
  for (const char* kind : {"-pow2mse", "-m2mse"}) {
    const std::string base = std::string("e2m1-g32-f32") + std::string(kind).substr(0, std::strlen(kind) - 3);
    const double mse = error_of(w, std::string("e2m1-g32-f32") + kind);
    EXPECT_LE(mse, error_of(w, base + "floor"));
    EXPECT_LE(mse, error_of(w, kind[1] == 'm' ? base + "ceil" : "e2m1-g32-f32-m1"));
  }
}

TEST(Nearest, PercentileCutsTheTail) {
  std::vector<float> row;
  for (int i = 1; i <= 1000; ++i) row.push_back(static_cast<float>(i % 2 == 0 ? i : -i));
  const DenseMatrix w(1, 1000, row);
  const auto scale = [&](const std::string& target) {
    float s;
    uint8_t zero;
    round_matrix(w, target)->grid()->scales_of_row(0, &s, &zero);
    return s;
  };
  for (const char* granularity : {"-row", "-tensor", "-g1000", "-block1x1000"}) {
    const std::string base = "int8-narrow-f32" + std::string(granularity);
    EXPECT_EQ(scale(base), 1000.0f / 127) << granularity;
    EXPECT_EQ(scale(base + "-p100"), 1000.0f / 127) << granularity;
    EXPECT_EQ(scale(base + "-p99.9"), 999.0f / 127) << granularity;
    EXPECT_EQ(scale(base + "-p50"), 500.0f / 127) << granularity;
    // 1 % off each side: ranks 10 and 989 (from 0) of -999, -997, ..., 1000.
    EXPECT_EQ(scale("int8-asym-f32" + std::string(granularity) + "-p98"), (980.0f - -979.0f) / 255) << granularity;
  }
  // Mostly zeros: the percentile is 0, which would be no scale at all.
  std::vector<float> sparse(1000);
  sparse[7] = -2;
  EXPECT_EQ(round_matrix(DenseMatrix(1, 1000, sparse), "int2-narrow-row-p99")->decode_all(), sparse);
  EXPECT_EQ(round_matrix(DenseMatrix(1, 1000, sparse), "int2-narrow-tensor-p99")->decode_all(), sparse);
}

TEST(Nearest, ZeroGroupsDecodeToZero) {
  DenseMatrix w = normal_matrix(4, 64, 12);
  for (size_t i = 64; i < 96; ++i) w.values()[i] = 0;
  std::vector<std::string> specs = {"int4-g32-asym",   "mxfp4",        "nvfp4",
                                    "int4-g32-m2ceil", "int4-g32-mse", "int4-g32-p99"};
  for (const Format& format : testing::every_format()) specs.push_back(name_of(format) + "-g32-f16");
  for (const std::string& target : specs) {
    RoundReport report;
    const auto tensor = round_matrix(w, target, &report);
    EXPECT_EQ(report.zero_groups, parse_grid_target(target).storage.granularity.group == 16 ? 2 : 1) << target;
    const std::vector<float> q = tensor->decode_all();
    for (size_t i = 64; i < 96; ++i) EXPECT_EQ(q[i], 0) << target;
    tensor->check_values("w");
  }
  EXPECT_EQ(report_of(DenseMatrix(3, 5, std::vector<float>(15)), "int4-tensor").zero_groups, 1);
}

/// Weights at both ends of fp32, in every format and scale type: finite results, valid bytes, nothing lost silently.
TEST(Nearest, ExtremeWeightsStayFinite) {
  for (const float size : {1e-45f, 1e-40f, 1e-30f, 1e-8f, 1e8f, 1e30f, 3.4e38f}) {
    std::vector<float> values(64);
    for (int i = 0; i < 64; ++i) values[static_cast<size_t>(i)] = size * (static_cast<float>((i * 37 % 64) - 31) / 32);
    const DenseMatrix w(1, 64, values);
    for (const Format& format : testing::every_format()) {
      for (const char* scheme : {"-g16-f32", "-g16-f16", "-g16-bf16", "-g16-e8m0", "-g16-e8m0-ceil", "-g16-e4m3x",
                                 "-row-m1", "-tensor-mse", "-g16-f16-m2mse"}) {
        const std::string target = name_of(format) + scheme;
        const auto tensor = round_matrix(w, target);
        for (const float q : tensor->decode_all()) ASSERT_TRUE(std::isfinite(q)) << target << " " << size;
        tensor->check_values("w");
      }
    }
    round_matrix(w, "int4-g16-asym")->check_values("w");
  }
}

TEST(Nearest, F16ScalesThatOverflowSaturateAndAreCounted) {
  std::vector<float> values(32, 1e9f);
  RoundReport report;
  const auto tensor = round_matrix(DenseMatrix(1, 32, values), "int4-g32", &report);
  EXPECT_EQ(report.saturated, 32);
  EXPECT_EQ(tensor->decode_all()[0], 7 * 65504.0f);
  EXPECT_EQ(report_of(DenseMatrix(1, 32, values), "int4-g32-bf16").saturated, 0);
}

TEST(Nearest, OddShapes) {
  for (const auto& [rows, cols] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 0}, {0, 8}, {3, 0}, {1, 1}, {5, 33}, {70, 1}}) {
    const DenseMatrix w = normal_matrix(rows, cols, 13);
    for (const std::string& target : many_specs()) {
      const auto tensor = round_matrix(w, target);
      EXPECT_EQ(tensor->rows(), rows);
      EXPECT_EQ(tensor->decode_all().size(), static_cast<size_t>(rows * cols));
      tensor->check_values("w");
    }
  }
}

TEST(Nearest, BlocksAndTilesAreCutAlike) {
  // 100 columns: 655 rows per tile, and 3 rows per block do not divide it; the tile must be cut to whole blocks.
  const DenseMatrix w = normal_matrix(1500, 100, 14);
  const std::vector<float> whole = round_matrix(w, "int4-block3x50-f32")->decode_all();
  for (const int64_t first : {0, 654, 657, 1311, 1497}) {
    const auto begin = w.values().begin() + first * 100;
    const DenseMatrix part(3, 100, std::vector<float>(begin, begin + 300));
    const std::vector<float> q = round_matrix(part, "int4-block3x50-f32")->decode_all();
    EXPECT_TRUE(std::equal(q.begin(), q.end(), whole.begin() + first * 100)) << first;
  }
}

TEST(NearestWeighted, SearchesScalesByTheInputsSquares) {
  ThreadPool threads(1);
  const DenseMatrix w = normal_matrix(20, 96, 19);
  DenseMatrix x = normal_matrix(300, 96, 20);
  for (size_t i = 0; i < x.values().size(); ++i) x.values()[i] *= static_cast<float>(1 + i % 96 % 7);
  InputStatistics inputs(96);
  inputs.add(x.values().data(), x.values().data(), 300, threads);
  std::vector<float> squares;
  for (const double square : inputs.moment->mean_squares()) squares.push_back(static_cast<float>(square));
  const auto rounded = [&](const char* target) {
    InputCache shared;
    Ranks alone;
    return round_matrix(NearestRounding{true}, {"w", w, parse_target(target), &inputs, shared, alone, threads}).matrix;
  };
  for (const char* target : {"int4-g32-mse", "nf4-row-mse", "e2m1-g32-m2mse"}) {
    EXPECT_TRUE(same_bytes(*rounded(target), *round_matrix(w, target, nullptr, squares.data()))) << target;
    EXPECT_FALSE(same_bytes(*rounded(target), *round_matrix(w, target))) << target;
  }
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [&] { rounded("int4-g32"); }),
            "w: int4-g32 compares no errors that could be weighted; -mse does");
}

std::string refusal(const RowSource& w, const std::string& target, const float* importance = nullptr) {
  return testing::message_of(ErrorKind::kRefused, [&] { round_matrix(w, target, nullptr, importance); });
}

// The first in the order of rows, whichever thread finds another one first.
TEST(Nearest, RefusesWhatIsNotFinite) {
  for (const char* target : {"int4-g32", "int4-tensor", "nvfp4", "mxfp4", "int4-tensor-p99", "int4-row-mse"}) {
    DenseMatrix w = normal_matrix(900, 100, 15);
    w.values()[899 * 100] = w.values()[897 * 100 + 3] = std::numeric_limits<float>::infinity();
    w.values()[712 * 100 + 31] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(refusal(w, target), "w: weight [712, 31] is nan; only finite weights can be quantized") << target;
    w.values()[712 * 100 + 31] = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(refusal(w, target), "w: weight [712, 31] is -inf; only finite weights can be quantized") << target;
  }
  const DenseMatrix w = normal_matrix(2, 4, 16);
  for (const float bad : {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const float importance[] = {1, 1, bad, 1};
    EXPECT_THAT(refusal(w, "int4-g32-mse", importance), ::testing::StartsWith("w: importance of column 2 is "));
  }
}

}  // namespace
}  // namespace bitloom
