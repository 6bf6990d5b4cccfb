// Every kernel against the format's own decoding, in double precision, and against the portable one, bit for bit.

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "format/families/trellis/trellis_storage.h"
#include "kernels/trellis_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomTrellisDot;

/// W [rows, cols] without its scale.
std::vector<double> decoded(const TrellisCode& code, const RandomTrellisDot& dot) {
  const int64_t rows = dot.call.w.rows, cols = dot.call.w.cols;
  const TrellisLayout layout(code, rows, cols);
  std::vector<double> w(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < layout.tile_rows(); ++i) {
    for (int64_t j = 0; j < layout.tile_cols(); ++j) {
      int16_t values[kTrellisTile];
      const TrellisLayout::Place at = layout.place(i, j);
      decode_trellis_tile(code, dot.words.data() + at.first, at.stride, values);
      for (int v = 0; v < kTrellisTile; ++v) {
        const int64_t r = i * 16 + trellis_place(code, v).row, c = j * 16 + trellis_place(code, v).col;
        if (r < rows && c < cols) w[static_cast<size_t>(r * cols + c)] = values[v];
      }
    }
  }
  return w;
}

/// x(t, c) as rounded.
double input(const RandomTrellisDot& dot, int64_t t, int64_t c) {
  const RoundedInput& x = dot.call.x;
  double q = 0;
  for (int p = 0; p < dot.call.planes; ++p) q = 256 * q + x.digits[(t * dot.call.planes + p) * x.stride + c];
  return q * static_cast<double>(x.scales[t * x.stride / 4 + c / 4]);
}

void expect_decoding(const TrellisDotEntry& entry, const TrellisCode& code, const RandomTrellisDot& dot) {
  entry.kernel(dot.call);
  const std::vector<double> w = decoded(code, dot);
  const int64_t rows = dot.call.w.rows, cols = dot.call.w.cols;
  for (int64_t t = 0; t < dot.call.tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0, size = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const double product = w[static_cast<size_t>(r * cols + c)] * input(dot, t, c);
        sum += product, size += std::abs(product);
      }
      // Sums of 32 columns are exact; then for each plane a fused step in fp32, at most 3 of 10 each.
      const double scale = dot.call.w.scale;
      EXPECT_NEAR(dot.y[static_cast<size_t>(t * rows + r)], scale * sum, scale * size * 64 * 6e-8)
          << entry.name << " values " << code.values << " half bits " << code.half_bits << " planes " << dot.call.planes
          << " row " << r;
    }
  }
}

TEST(TrellisDot, EveryKernelEqualsTheFormatsDecoding) {
  constexpr std::pair<int64_t, int64_t> kShapes[] = {{256, 64}, {300, 40}, {1, 1}, {48, 300}};
  uint32_t seed = 0;
  for (const TrellisDotEntry& entry : trellis_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (int values = 1; values <= 2; ++values) {
      for (int half_bits = 2; half_bits <= (values == 2 ? 8 : 10); ++half_bits) {
        for (const auto& [rows, cols] : kShapes) {
          const TrellisCode code{values, half_bits};
          for (const DotInput kind : {DotInput::kInt8, DotInput::kInt24}) {
            expect_decoding(entry, code, RandomTrellisDot(code, rows, cols, 2, kind, ++seed));
          }
        }
      }
    }
  }
}

// Enough columns that a step which is not fused shows in most rows; one row, and ends of tiles and of super-tiles.
TEST(TrellisDot, EveryKernelHasThePortableOnesBits) {
  constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 33}, {272, 1000}, {520, 2048}};
  uint32_t seed = 100;
  for (const TrellisCode& code : {TrellisCode{2, 4}, {2, 3}, {1, 5}, {1, 6}}) {
    for (const auto& [rows, cols] : kShapes) {
      for (const DotInput kind : {DotInput::kInt8, DotInput::kInt24}) {
        RandomTrellisDot want(code, rows, cols, 2, kind, ++seed);
        find_trellis_dot(Isa::kPortable).kernel(want.call);
        for (const TrellisDotEntry& entry : trellis_dot_kernels()) {
          if (!machine_has(entry.isa)) continue;
          RandomTrellisDot dot(code, rows, cols, 2, kind, seed);
          entry.kernel(dot.call);
          EXPECT_EQ(dot.y, want.y) << entry.name << " values " << code.values << " half bits " << code.half_bits
                                   << " planes " << dot.call.planes << " [" << rows << ", " << cols << "]";
        }
      }
    }
  }
}

TEST(TrellisDot, RowsOfSuperTilesStandAlone) {
  for (const TrellisDotEntry& entry : trellis_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomTrellisDot whole({1, 5}, 600, 96, 1, DotInput::kInt8, 5), parts({1, 5}, 600, 96, 1, DotInput::kInt8, 5);
    entry.kernel(whole.call);
    for (int64_t s = 0; s < 3; ++s) {
      parts.call.first = s, parts.call.last = s + 1;
      entry.kernel(parts.call);
    }
    EXPECT_EQ(whole.y, parts.y) << entry.name;
  }
}

}  // namespace
}  // namespace bitloom
