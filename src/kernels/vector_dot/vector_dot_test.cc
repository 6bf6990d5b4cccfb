// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/dot_test.h"
#include "kernels/vector_dot/test_dot.h"

namespace bitloom {
namespace {

using testing::RandomVectorDot;

/// Of one token's outputs: |y - want| over all rows, of the norm that sums of unrelated products of units would have.
double relative_error(const RandomVectorDot& dot, int64_t token) {
  const auto rows = static_cast<size_t>(dot.call.w.rows), cols = static_cast<size_t>(dot.call.w.cols);
  const auto group = static_cast<size_t>(dot.storage.group), books = static_cast<size_t>(dot.storage.codebooks);
  const size_t groups = (cols + group - 1) / group;
  double error = 0, norm = 0;
  for (size_t r = 0; r < rows; ++r) {
    const auto scale = static_cast<double>(dot.scales[r]);
    double want = 0;
    for (size_t unit = 0; unit < groups * books; ++unit) {
      const size_t first = unit / books * group, m = unit % books, code = dot.codes[r * groups * books + unit];
      double product = 0;
      for (size_t c = first; c < std::min(cols, first + group); ++c) {
        product += static_cast<double>(
                       dot.codebooks[(m * static_cast<size_t>(dot.storage.entries()) + code) * group + c - first]) *
                   static_cast<double>(dot.x[static_cast<size_t>(token) * cols + c]);
      }
      want += scale * product, norm += scale * scale * product * product;
    }
    error += std::pow(static_cast<double>(dot.y[static_cast<size_t>(token) * rows + r]) - want, 2);
  }
  return std::sqrt(error / norm);
}

/// 16 bits for the greatest of 32 units' products, some five times their mean, so 1 / 32512 of that times sqrt(1 / 12);
/// a row of few units may have small ones. Sums in fp32, or of 24 bits, err by far less.
double tolerance(bool exact) { return exact ? 2e-6 : 1e-4; }

TEST(VectorDot, EveryKernelEqualsTheDefinition) {
  uint32_t seed = 0;
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t codebooks : {1, 2, 4, 8}) {
      for (const auto& [rows, cols] :
           {std::pair<int64_t, int64_t>{1, 8}, {64, 72}, {130, 41}, {256, 64}, {300, 520}, {520, 16}, {4400, 41}}) {
        for (const auto& [exact, bits] : {std::pair{true, 8}, {false, 8}, {true, 4}, {false, 4}}) {
          const RandomVectorDot dot(codebooks, 8, rows, cols, 2, exact, ++seed, -1, bits);
          entry.kernel(dot.call);
          for (const int64_t token : {0, 1}) {
            EXPECT_LT(relative_error(dot, token), (rows == 1 ? 10 : 1) * tolerance(exact))
                << entry.name << " " << codebooks << "x" << bits << " [" << rows << ", " << cols << "] exact " << exact;
          }
        }
      }
    }
    for (const int bits : {4, 8}) {
      const RandomVectorDot wide(2, 16, 300, 100, 1, false, ++seed, -1, bits);
      entry.kernel(wide.call);
      EXPECT_LT(relative_error(wide, 0), tolerance(false)) << entry.name;
    }
  }
}

// The same code everywhere: the greatest sums that bytes can have.
TEST(VectorDot, SumsDoNotOverflow) {
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const bool exact : {true, false}) {
      for (const float sign : {1.0f, -1.0f}) {
        for (const int bits : {4, 8}) {
          RandomVectorDot dot(2, 8, 256, 2048, 1, exact, 5, 11, bits);
          for (float& value : dot.columns) value = std::abs(value) < 2 ? 0.0f : value;
          for (int64_t t = 0; t < 16; ++t) dot.columns[static_cast<size_t>((t << bits) + 11)] = sign * 60;
          for (float& value : dot.x) value = 1;
          entry.kernel(dot.call);
          for (int64_t r = 0; r < 256; ++r) {
            const float want = dot.scales[static_cast<size_t>(r)] * sign * 60 * 8 * 2 * 256;
            EXPECT_NEAR(dot.y[static_cast<size_t>(r)], want, 1e-4f * std::abs(want)) << entry.name;
          }
        }
      }
    }
  }
}

TEST(VectorDot, TilesStandAlone) {
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int bits : {4, 8}) {
      RandomVectorDot whole(2, 8, 4400, 136, 1, false, 2, -1, bits), parts(2, 8, 4400, 136, 1, false, 2, -1, bits);
      testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 4}, {4, 18}});
    }
  }
}

TEST(VectorDot, ZerosGiveZerosAndValuesThatAreNotFiniteAreSeen) {
  for (const VectorDotEntry& entry : vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const auto& [exact, bits] : {std::pair{true, 8}, {false, 8}, {true, 4}, {false, 4}}) {
      RandomVectorDot dot(2, 8, 70, 40, 1, exact, 2, -1, bits);
      for (float& value : dot.x) value = 0;
      entry.kernel(dot.call);
      for (const float value : dot.y) EXPECT_EQ(value, 0) << entry.name;
      for (const float bad : {INFINITY, NAN}) {
        dot.x[17] = bad;
        entry.kernel(dot.call);
        for (const float value : dot.y) EXPECT_FALSE(std::isfinite(value)) << entry.name;
      }
    }
  }
}

}  // namespace
}  // namespace bitloom
