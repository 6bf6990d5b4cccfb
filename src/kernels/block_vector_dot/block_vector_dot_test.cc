// Every kernel of the list that this machine can run against the definition, in double precision.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/block_vector_dot/test_dot.h"
#include "kernels/dot_test.h"

namespace bitloom {
namespace {

using testing::RandomBlockVectorDot;

struct Want {
  double value = 0, size = 0, norm = 0;  // of the products: sum, sum of magnitudes, root of the sum of squares
};

Want want_of(const RandomBlockVectorDot& dot, int64_t token, int64_t row) {
  const BlockVectorRows& w = dot.call.w;
  Want want;
  for (int64_t c = 0; c < w.cols; ++c) {
    const int64_t block = row / dot.blocks.height * dot.blocks.across + c / dot.blocks.width;
    const int64_t code = dot.codes[static_cast<size_t>(row * w.groups() + c / w.group)];
    const int8_t value = dot.codebooks[static_cast<size_t>((block * w.entries() + code) * w.group + c % w.group)];
    const double product = static_cast<double>(dot.scales[static_cast<size_t>(block)]) * value *
                           static_cast<double>(dot.x[static_cast<size_t>(token * w.cols + c)]);
    want.value += product, want.size += std::abs(product), want.norm += product * product;
  }
  want.norm = std::sqrt(want.norm);
  return want;
}

/// x within half a step of a run's greatest, 5 of its deviation at most, over 127 2^16 or 127 2^8: of unrelated signs.
/// Where a row is so short that its weights hide it, the step times the greatest of them: 128. In fp32 2^-24 for each
/// of the sums, of at most 40 runs' planes or 256 columns, of which a lane has some 32.
double tolerance(const Want& want, float scale, bool exact) {
  const double step = 5.0 / (127.0 * (exact ? 65536 : 256));
  return step * (3 * want.norm + 128 * static_cast<double>(scale)) + 100 * 6e-8 * want.size;
}

void expect_definition(const BlockVectorDotEntry& entry, const RandomBlockVectorDot& dot) {
  entry.kernel(dot.call);
  const int64_t rows = dot.call.w.rows;
  for (int64_t t = 0; t < dot.call.tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      const Want want = want_of(dot, t, r);
      const float scale = *std::max_element(dot.scales.begin(), dot.scales.end());
      ASSERT_NEAR(dot.y[static_cast<size_t>(t * rows + r)], want.value, tolerance(want, scale, dot.call.exact))
          << entry.name << " " << to_string(dot.storage) << " [" << rows << ", " << dot.call.w.cols << "] exact "
          << dot.call.exact << " token " << t << " row " << r;
    }
  }
}

TEST(BlockVectorDot, EveryKernelEqualsTheDefinition) {
  constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 8}, {70, 41}, {256, 512}, {300, 600}, {530, 90}, {16, 1111}};
  uint32_t seed = 0;
  for (const BlockVectorDotEntry& entry : block_vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const char* text :
         {"vq8-g4", "vq4-g2", "vq2-g1", "vq8-g4-r64", "vq8-g4-r32", "vq4-g2-r64-c32", "vq4-g2-r4", "vq2-g1-r2",
          "vq2-g1-r256-c1000", "vq5-g2", "vq3-g1", "vq8-g8", "vq7-g8-r16", "vq1-g1", "vq8-g4-c65536", "vq4-g4-r128"}) {
      for (const auto& [rows, cols] : kShapes) {
        for (const bool exact : {true, false}) {
          expect_definition(entry, RandomBlockVectorDot(text, rows, cols, 2, exact, ++seed));
        }
      }
    }
    for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1", "vq6-g4"}) {
      expect_definition(entry, RandomBlockVectorDot(text, 320, 576, kBlockVectorTokens, true, ++seed));
    }
  }
}

// The greatest sums that bytes can have.
TEST(BlockVectorDot, SumsDoNotOverflow) {
  for (const BlockVectorDotEntry& entry : block_vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1"}) {
      for (const int8_t level : {int8_t{127}, int8_t{-128}}) {
        RandomBlockVectorDot dot(text, 256, 1024, 1, true, 5);
        for (int8_t& value : dot.codebooks) value = level;
        dot.parts = testing::guarded(pack_block_vectors(dot.storage, 256, 1024, dot.codes, dot.codebooks, dot.scales));
        dot.call.w.codes = dot.parts[0].data(), dot.call.w.codebooks = dot.parts[1].data();
        dot.call.w.scales = dot.parts[2].data();
        for (float& value : dot.x) value = -1;
        entry.kernel(dot.call);
        for (int64_t r = 0; r < 256; ++r) {
          const Want want = want_of(dot, 0, r);
          EXPECT_NEAR(dot.y[static_cast<size_t>(r)], want.value, 1e-5 * std::abs(want.value)) << entry.name;
        }
      }
    }
  }
}

TEST(BlockVectorDot, TilesStandAlone) {
  for (const BlockVectorDotEntry& entry : block_vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1", "vq5-g2"}) {
      RandomBlockVectorDot whole(text, 1100, 136, 3, false, 2), parts(text, 1100, 136, 3, false, 2);
      testing::expect_parts_stand_alone(entry, whole, parts, {{0, 1}, {1, 4}, {4, 5}});
    }
  }
}

TEST(BlockVectorDot, ZerosGiveZerosAndValuesThatAreNotFiniteAreSeen) {
  for (const BlockVectorDotEntry& entry : block_vector_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const char* text : {"vq8-g4", "vq4-g2", "vq2-g1", "vq5-g2"}) {
      RandomBlockVectorDot dot(text, 70, 300, 1, true, 2);
      testing::expect_zeros_and_bad_values_pass(entry, dot);
    }
  }
}

}  // namespace
}  // namespace bitloom
