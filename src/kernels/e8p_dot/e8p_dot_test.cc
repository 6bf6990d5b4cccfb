// Every kernel of the list that this machine can run against the format's decoding, in double precision.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/dot_test.h"
#include "kernels/e8p_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomE8pDot;

struct Want {
  double value = 0, size = 0, norm = 0;  // of the products: sum, sum of magnitudes, root of the sum of squares
};

Want want_of(const RandomE8pDot& dot, int64_t token, int64_t row) {
  const E8pRows& w = dot.call.w;
  Want want;
  for (int64_t j = 0; j < w.points(); ++j) {
    float point[kE8pPoint];
    decode_e8p(e8p_table(), dot.codes[static_cast<size_t>(row * w.points() + j)], point);
    for (int64_t c = j * kE8pPoint; c < std::min(w.cols, (j + 1) * kE8pPoint); ++c) {
      const double product = static_cast<double>(w.scale) * static_cast<double>(point[c % kE8pPoint]) *
                             static_cast<double>(dot.x[static_cast<size_t>(token * w.cols + c)]);
      want.value += product, want.size += std::abs(product), want.norm += product * product;
    }
  }
  want.norm = std::sqrt(want.norm);
  return want;
}

/// x within half a step of a run's greatest, 5 of its deviation at most, over 127 2^16 or 127 2^8; each mean within as
/// much again, which counts for its eight columns, and weights are some 4 quarters: errors of two steps a weight, of
/// unrelated signs. In fp32 2^-24 for each of the sums of at most 70 points a lane, and of eight lanes.
double tolerance(const Want& want, bool exact) {
  const double step = 5.0 / (127.0 * (exact ? 65536 : 256));
  return 6 * step * want.norm + 80 * 6e-8 * want.size;
}

TEST(E8pDot, EveryKernelEqualsTheFormatsDecoding) {
  constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 8},    {2, 5},   {3, 520}, {64, 512},
                                                     {7, 4104}, {5, 999}, {4, 4700}};
  uint32_t seed = 0;
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [rows, cols] : kShapes) {
      for (const bool exact : {true, false}) {
        for (const int64_t tokens : {1, 2, 3, 8}) {
          const RandomE8pDot dot(rows, cols, tokens, exact, ++seed);
          entry.kernel(dot.call);
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t r = 0; r < rows; ++r) {
              const Want want = want_of(dot, t, r);
              EXPECT_NEAR(dot.y[static_cast<size_t>(t * rows + r)], want.value, tolerance(want, exact))
                  << entry.name << " [" << rows << ", " << cols << "] exact " << exact << " token " << t << " row "
                  << r;
            }
          }
        }
      }
    }
  }
}

// A code at a time: each of its eight weights, as it is.
TEST(E8pDot, EveryCodeIsThatOfTheFormat) {
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomE8pDot dot(65536, 8, 8, true, 1);
    for (size_t code = 0; code < dot.codes.size(); ++code) dot.codes[code] = static_cast<uint16_t>(code);
    dot.call.w.scale = 1;
    for (size_t t = 0; t < 8; ++t) {
      for (size_t c = 0; c < 8; ++c) dot.x[8 * t + c] = t == c ? 1 : 0;
    }
    entry.kernel(dot.call);
    double worst = 0;
    for (size_t code = 0; code < dot.codes.size(); ++code) {
      float point[kE8pPoint];
      decode_e8p(e8p_table(), static_cast<uint16_t>(code), point);
      for (size_t t = 0; t < 8; ++t) {
        worst = std::max(worst, static_cast<double>(std::abs(dot.y[t * 65536 + code] - point[t])));
      }
    }
    EXPECT_LT(worst, 1e-5) << entry.name;
  }
}

TEST(E8pDot, RowsStandAlone) {
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    RandomE8pDot whole(41, 1000, 3, false, 2), parts(41, 1000, 3, false, 2);
    testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 4}, {4, 41}});
  }
}

TEST(E8pDot, ZerosGiveZerosAndValuesThatAreNotFiniteAreSeen) {
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const bool exact : {true, false}) {
      RandomE8pDot dot(5, 700, 1, exact, 2);
      testing::expect_zeros_and_bad_values_pass(entry, dot);
    }
  }
}

// The greatest sums that bytes can have.
TEST(E8pDot, SumsDoNotOverflow) {
  for (const E8pDotEntry& entry : e8p_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const bool exact : {true, false}) {
      for (const float sign : {1.0f, -1.0f}) {
        RandomE8pDot dot(2, 4096, 1, exact, 5);
        for (float& value : dot.x) value = sign;
        for (uint16_t& code : dot.codes) code = static_cast<uint16_t>(0x0080 | 226 << 8);
        entry.kernel(dot.call);
        const Want want = want_of(dot, 0, 0);
        EXPECT_NEAR(dot.y[0], want.value, 1e-5 * std::abs(want.value)) << entry.name;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
