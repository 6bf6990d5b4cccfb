// Error feedback against two implementations that share nothing with it: optimal brain quantization with a dense
// inverse that is eliminated column by column (Frantar et al., 2023, Algorithm 1 before its Cholesky reformulation),
// written here in double; and the golden file of tests/oracle/round_gptq.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "base/test_data.h"
#include "format/grid.h"
#include "io/safetensors/safetensors.h"
#include "round/gptq/gptq.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

/// Inverse by Gauss-Jordan elimination with the diagonal as pivots (the matrix is positive definite).
std::vector<double> inverse_of(std::vector<double> a, size_t n) {
  std::vector<double> inverse(n * n);
  for (size_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  for (size_t p = 0; p < n; ++p) {
    const double pivot = a[p * n + p];
    for (size_t j = 0; j < n; ++j) a[p * n + j] /= pivot, inverse[p * n + j] /= pivot;
    for (size_t i = 0; i < n; ++i) {
      const double factor = a[i * n + p];
      if (i == p || factor == 0) continue;
      for (size_t j = 0; j < n; ++j) {
        a[i * n + j] -= factor * a[p * n + j];
        inverse[i * n + j] -= factor * inverse[p * n + j];
      }
    }
  }
  return inverse;
}

/// Symmetric 4-bit integers: levels -8 .. 7 of max |w| / 7.5.
struct Int4 {
  double scale = 0;
  static Int4 of(const double* w, const std::vector<size_t>& columns) {
    double most = 0;
    for (const size_t c : columns) most = std::max(most, std::abs(w[c]));
    return {static_cast<double>(static_cast<float>(most) / 7.5f)};
  }
};

/// One row by optimal brain quantization. `group` 0: one scale. Levels by column; `margin`: least distance of any
/// quotient from a tie.
std::vector<int> solve_row(std::vector<double> w, std::vector<double> inverse, const std::vector<size_t>& order,
                           size_t group, bool fixed_groups, double& margin) {
  const size_t n = w.size(), width = group == 0 ? n : group;
  const auto columns_of = [&](size_t g) {
    std::vector<size_t> columns(std::min(width, n - g * width));
    std::iota(columns.begin(), columns.end(), g * width);
    return columns;
  };
  std::vector<Int4> scales;
  for (size_t g = 0; g * width < n; ++g) scales.push_back(Int4::of(w.data(), columns_of(g)));
  std::vector<int> levels(n);
  for (size_t p = 0; p < n; ++p) {
    const size_t j = order[p];
    if (!fixed_groups && group != 0 && p % group == 0) scales[j / width] = Int4::of(w.data(), columns_of(j / width));
    const double quotient = w[j] / scales[j / width].scale;
    if (quotient > -8 && quotient < 7) {  // beyond, there is but one level
      margin = std::min(margin, std::abs(std::abs(quotient - std::floor(quotient)) - 0.5));
    }
    levels[j] = static_cast<int>(std::clamp(std::nearbyint(quotient), -8.0, 7.0));
    const double error = (w[j] - levels[j] * scales[j / width].scale) / inverse[j * n + j];
    for (size_t q = p + 1; q < n; ++q) w[order[q]] -= error * inverse[j * n + order[q]];
    // Column j leaves the problem: H^-1 of the others.
    for (size_t a = p + 1; a < n; ++a) {
      const double factor = inverse[order[a] * n + j] / inverse[j * n + j];
      for (size_t b = p + 1; b < n; ++b) inverse[order[a] * n + order[b]] -= factor * inverse[j * n + order[b]];
    }
  }
  return levels;
}

/// Levels by column of one row of the tensor.
std::vector<int> levels_of_row(const StoredMatrix& tensor, int64_t row) {
  std::vector<uint8_t> codes(static_cast<size_t>(tensor.cols())), zeros(codes.size());
  std::vector<float> scales(codes.size());
  tensor.grid()->codes_of_row(row, codes.data());
  tensor.grid()->scales_of_row(row, scales.data(), zeros.data());
  const ScaleShape shape = tensor.grid()->shape();
  const std::vector<float> decode = grid_of(tensor.grid()->storage().format).decode;
  std::vector<int> levels;
  for (size_t c = 0; c < codes.size(); ++c) {
    levels.push_back(tensor.grid()->storage().asymmetric ? codes[c] - zeros[c / static_cast<size_t>(shape.group_cols)]
                                                         : static_cast<int>(decode[codes[c]]));
  }
  return levels;
}

TEST(GptqOracle, OptimalBrainQuantizationWithADenseInverseGivesTheSameCodes) {
  constexpr size_t kN = 96;
  constexpr int64_t kTokens = 200, kRows = 10;
  constexpr uint64_t kSeed = 54;  // no quotient lies near a tie
  Rng rng(51, 4);
  std::vector<float> x(kTokens * kN);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(rng.normal() + (i % kN > 0 ? 0.7 * static_cast<double>(x[i - 1]) : 0));
  }
  const DenseMatrix w = testing::normal_matrix(kRows, kN, kSeed);
  std::vector<double> h(kN * kN);
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t i = 0; i < kN; ++i) {
      for (size_t j = 0; j < kN; ++j) h[i * kN + j] += double{x[t * kN + i]} * double{x[t * kN + j]} / kTokens;
    }
  }
  double trace = 0;
  for (size_t i = 0; i < kN; ++i) trace += h[i * kN + i];
  std::vector<size_t> natural(kN), falling;
  std::iota(natural.begin(), natural.end(), size_t{0});
  falling = natural;
  std::sort(falling.begin(), falling.end(), [&](size_t a, size_t b) { return h[a * kN + a] > h[b * kN + b]; });
  for (size_t i = 0; i < kN; ++i) h[i * kN + i] += 0.01 * trace / kN;
  const std::vector<double> inverse = inverse_of(h, kN);

  ThreadPool threads(1);
  SecondMoment moment(kN);
  moment.add(x.data(), kTokens, kN, threads);
  for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation}) {
    GptqRounding options;
    options.order = order;
    const GptqFactor factor = make_gptq_factor(moment, nullptr, options, 0, threads);
    for (const char* text : {"int4-row-f32", "int4-g32-f32"}) {
      const auto tensor = quantize_gptq("w", w, parse_target(text), factor, false, threads);
      const bool natural_order = order == ColumnOrder::kNatural;
      double margin = 1;
      for (int64_t r = 0; r < kRows; ++r) {
        const std::vector<double> row(w.values().begin() + r * int64_t{kN}, w.values().begin() + (r + 1) * int64_t{kN});
        EXPECT_EQ(levels_of_row(*tensor, r), solve_row(row, inverse, natural_order ? natural : falling,
                                                       text[5] == 'g' ? 32 : 0, !natural_order, margin))
            << text << " row " << r;
      }
      // No quotient lay so near a tie that fp32 (about 1e-5 of the largest quotient, 8) could have decided otherwise.
      EXPECT_GT(margin, 1e-4) << text;
    }
  }
}

template <typename T>
std::vector<T> values_of(const SafetensorsFile& file, const std::string& name) {
  for (const TensorView& tensor : file.tensors) {
    if (tensor.name != name) continue;
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(GptqOracle, ThePublishedProcedureInNumpyGivesTheSameCodes) {
  constexpr int64_t kRows = 12, kCols = 160, kTokens = 200;
  const SafetensorsFile file = open_safetensors(testing::golden("round/gptq.safetensors"));
  const DenseMatrix w(kRows, kCols, values_of<float>(file, "w"));
  std::vector<float> x;
  for (const uint16_t half : values_of<uint16_t>(file, "x")) x.push_back(f16_to_f32(half));
  ASSERT_EQ(x.size(), size_t{kTokens * kCols});
  ThreadPool threads(1);
  SecondMoment moment(kCols);
  moment.add(x.data(), kTokens, kCols, threads);
  const struct {
    std::string name, target;
    ColumnOrder order;
    bool static_groups;
  } cases[] = {
      {"int4-row-f32", "int4-row-f32", ColumnOrder::kNatural, false},
      {"int4-row-asym-f32", "int4-row-asym-f32", ColumnOrder::kNatural, false},
      {"int4-row-f32 actorder", "int4-row-f32", ColumnOrder::kActivation, false},
      {"int4-g32-f32", "int4-g32-f32", ColumnOrder::kNatural, false},
      {"int3-g32-asym-f32", "int3-g32-asym-f32", ColumnOrder::kNatural, false},
      {"int4-g32-f32 actorder static", "int4-g32-f32", ColumnOrder::kActivation, true},
  };
  for (const auto& item : cases) {
    GptqRounding options;
    options.order = item.order;
    const GptqFactor factor = make_gptq_factor(moment, nullptr, options, 0, threads);
    const auto tensor = quantize_gptq("w", w, parse_target(item.target), factor, item.static_groups, threads);
    const auto levels = values_of<int8_t>(file, item.name + ".levels");
    const auto expected = values_of<float>(file, item.name + ".scales");
    const auto groups = static_cast<size_t>(tensor->grid()->shape().cols);
    ASSERT_EQ(levels.size(), size_t{kRows * kCols});
    ASSERT_EQ(expected.size(), groups * kRows);
    std::vector<float> scales(groups);
    std::vector<uint8_t> zeros(groups);
    for (int64_t r = 0; r < kRows; ++r) {
      EXPECT_EQ(levels_of_row(*tensor, r),
                std::vector<int>(levels.begin() + r * kCols, levels.begin() + (r + 1) * kCols))
          << item.name << " row " << r;
      tensor->grid()->scales_of_row(r, scales.data(), zeros.data());
      for (size_t g = 0; g < groups; ++g) {
        const float scale = expected[static_cast<size_t>(r) * groups + g];
        // Compensated weights in fp32: 160 updates of 6e-8 each, of weights no larger than the range.
        EXPECT_NEAR(scales[g], scale, 2e-5f * scale) << item.name << " row " << r << " group " << g;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
