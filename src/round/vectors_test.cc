// Blocks worked out in the papers' floating-point page: 3.3 (MX), 4.4 (NVFP4), 5.4 (constraints), and the matrices of
// tests/oracle/format.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "base/test_data.h"
#include "format/minifloat/cast.h"
#include "packing/bitstream.h"
#include "round/scale/scale_constraint.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using testing::round_matrix;

std::vector<uint8_t> codes_of(const StoredMatrix& tensor, int64_t row, size_t count) {
  std::vector<uint8_t> codes(static_cast<size_t>(tensor.cols()));
  tensor.grid()->codes_of_row(row, codes.data());
  codes.resize(count);
  return codes;
}

int scale_byte(const StoredMatrix& tensor, size_t at) { return std::to_integer<int>(tensor.parts()[1].bytes[at]); }

DenseMatrix one_row(std::vector<float> w, size_t cols) {
  w.resize(cols);
  return {1, static_cast<int64_t>(cols), w};
}

struct BlockVector {
  const char* target;
  int byte;
  std::vector<uint8_t> codes;
  std::vector<float> values;
};

TEST(Vectors, MxBlocks) {
  const DenseMatrix w = one_row({1, -2, 0.3f, 7, -0.1f, 0, 3.3f, -5.1f}, 32);
  const auto as_byte = [](int q) { return static_cast<uint8_t>(q); };
  const BlockVector vectors[] = {
      {"mxfp4", 127, {2, 0xC, 1, 7, 8, 0, 5, 0xF}, {1, -2, .5f, 6, -0.0f, 0, 3, -6}},
      {"mxfp4-rceil", 128, {1, 0xA, 0, 6, 8, 0, 3, 0xD}, {1, -2, 0, 8, -0.0f, 0, 3, -6}},
      {"mxfp6e2m3", 127, {0x08, 0x30, 0x02, 0x1E, 0x21, 0, 0x15, 0x3A}, {1, -2, .25f, 7, -.125f, 0, 3.25f, -5}},
      {"mxfp6e3m2", 125, {0x14, 0x38, 0x0D, 0x1F, 0x26, 0, 0x1B, 0x3D}, {1, -2, .3125f, 7, -.09375f, 0, 3.5f, -5}},
      {"mxfp8e4m3", 121, {0x68, 0xF0, 0x5A, 0x7E, 0xCD, 0, 0x75, 0xFA}, {1, -2, .3125f, 7, -.1015625f, 0, 3.25f, -5}},
      {"mxfp8e5m2", 114, {0x70, 0xF4, 0x69, 0x7B, 0xE2, 0, 0x77, 0xF9}, {1, -2, .3125f, 7, -.09375f, 0, 3.5f, -5}},
      {"mxint8",
       129,
       {16, as_byte(-32), 5, 112, as_byte(-2), 0, 53, as_byte(-82)},
       {1, -2, .3125f, 7, -.125f, 0, 3.3125f, -5.125f}},
  };
  for (const BlockVector& v : vectors) {
    const auto tensor = round_matrix(w, v.target);
    EXPECT_EQ(scale_byte(*tensor, 0), v.byte) << v.target;
    EXPECT_EQ(codes_of(*tensor, 0, 8), v.codes) << v.target;
    const std::vector<float> decoded = tensor->decode_all();
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_EQ(decoded[i], v.values[i]) << v.target << " " << i;
      EXPECT_EQ(std::signbit(decoded[i]), std::signbit(v.values[i])) << v.target << " " << i;
    }
    for (size_t i = 8; i < 32; ++i) EXPECT_EQ(decoded[i], 0) << v.target;
  }
}

TEST(Vectors, SquaredErrorsOfTheMxBlock) {
  const DenseMatrix w = one_row({1, -2, 0.3f, 7, -0.1f, 0, 3.3f, -5.1f}, 32);
  double norm = 0;
  for (const float x : w.values()) norm += static_cast<double>(x) * x;
  // .04 + 1 + .01 + .09 + .81 and .09 + 1 + .01 + .09 + .81; the page prints both with two decimals.
  EXPECT_NEAR(testing::error_of(w, "mxfp4") * norm, 1.95, 5e-3);
  EXPECT_NEAR(testing::error_of(w, "mxfp4-rceil") * norm, 2.00, 5e-3);
}

TEST(Vectors, MxScaleTraps) {
  EXPECT_EQ(scale_byte(*round_matrix(one_row({8 - 0x1p-21f}, 32), "mxfp4"), 0), 127);
  const auto zero = round_matrix(one_row({}, 32), "mxfp4");
  EXPECT_EQ(scale_byte(*zero, 0), 0);
  EXPECT_EQ(codes_of(*zero, 0, 32), std::vector<uint8_t>(32, 0));
  EXPECT_EQ(scale_byte(*round_matrix(one_row({1e-40f}, 32), "mxfp4"), 0), 0);
  const auto small = round_matrix(one_row({0x1p-126f}, 32), "mxfp4");
  EXPECT_EQ(scale_byte(*small, 0), 0);
  EXPECT_EQ(small->decode_all()[0], 0x1p-126f);  // 2 * 2^-127
}

TEST(Vectors, Nvfp4Blocks) {
  // The first block's maximum sets the tensor scale to exactly 1.
  std::vector<float> w(64);
  w[0] = 2688;
  const float second[] = {21, -10.5f, 7, 1.75f, 0.8749f};
  std::copy(second, second + 5, w.begin() + 16);
  w[32] = 10;
  w[48] = 11;
  RoundReport report;
  const auto tensor = round_matrix(one_row(w, 64), "nvfp4", &report);
  float tensor_scale;
  std::memcpy(&tensor_scale, tensor->parts()[2].bytes.data(), 4);
  EXPECT_EQ(tensor_scale, 1);
  EXPECT_EQ(scale_byte(*tensor, 0), 0x7E);
  EXPECT_EQ(scale_byte(*tensor, 1), 0x46);
  EXPECT_EQ(scale_byte(*tensor, 2), 0x3D);
  EXPECT_EQ(scale_byte(*tensor, 3), 0x3F);
  std::vector<uint8_t> codes = codes_of(*tensor, 0, 64);
  EXPECT_EQ(std::vector<uint8_t>(codes.begin() + 16, codes.begin() + 21), (std::vector<uint8_t>{7, 0xD, 4, 1, 0}));
  const std::vector<float> decoded = tensor->decode_all();
  EXPECT_EQ(decoded[0], 2688);
  EXPECT_EQ(decoded[32], 9.75f);  // the block scale was rounded down: its maximum is clipped
  EXPECT_EQ(decoded[48], 11.25f);
}

TEST(Vectors, Nvfp4SmallestBlockScale) {
  std::vector<float> w(48);
  w[0] = 2688;
  w[16] = 0.01f;  // S_raw = 0.01 / 6 < 2^-9
  EXPECT_EQ(scale_byte(*round_matrix(one_row(w, 48), "nvfp4"), 1), 0x01);
  EXPECT_EQ(scale_byte(*round_matrix(one_row(w, 48), "nvfp4-sminnormal"), 1), 0x08);
  EXPECT_EQ(scale_byte(*round_matrix(one_row(w, 48), "nvfp4"), 2), 0x01);  // an all-zero block
}

/// MXFP4 to NVFP4 without loss: s2 = 2^(k_max - 8), block scale 2^(k_j - k_max + 8), exact for k_max - k_j <= 17.
TEST(Vectors, Mxfp4BecomesNvfp4) {
  for (int spread = 0; spread <= 20; ++spread) {
    const int k_max = 3, k = k_max - spread;
    const float s2 = std::ldexp(1.0f, k_max - 8), wanted = std::ldexp(1.0f, k) / s2;
    const float block = decode_minifloat(kE4M3Fn, cast_minifloat(kE4M3Fn, wanted));
    for (int code = 0; code < 16; ++code) {
      const float value = decode_minifloat(kE2M1, static_cast<uint8_t>(code));
      if (spread <= 17 || value == 0) {
        EXPECT_EQ(value * (block * s2), std::ldexp(value, k)) << spread;
      } else {
        EXPECT_NE(value * (block * s2), std::ldexp(value, k)) << spread;
      }
    }
  }
}

/// Scales of .011 .007 .0021 .020 under a constraint: groups of one weight with that absmax times the divisor.
std::vector<float> constrained(const std::string& option) {
  const float scales[] = {.011f, .007f, .0021f, .020f};
  const GroupQuantizer quantizer(parse_grid_target("e2m1-g2-f32" + option));
  std::vector<float> w;
  for (const float s : scales) w.insert(w.end(), {6 * s, 2.5f * s});
  std::vector<WeightGroup> groups;
  std::vector<GroupScale> chosen;
  for (size_t i = 0; i < 4; ++i) {
    groups.push_back({&w[2 * i], 1, 2, 2, nullptr});
    chosen.push_back(quantizer.with_scale({0, w[2 * i]}, scales[i]));
  }
  constrain_row(quantizer, groups, chosen);
  std::vector<float> result;
  result.reserve(chosen.size());
  for (const GroupScale& s : chosen) result.push_back(s.stored);
  return result;
}

TEST(Vectors, ScaleConstraints) {
  EXPECT_EQ(constrained("-m1"), (std::vector<float>{0x1p-6f, 0x1p-7f, 0x1p-8f, 0x1p-5f}));
  EXPECT_EQ(constrained("-m2ceil"), (std::vector<float>{.020f / 2, .020f / 4, .020f / 16, .020f}));
  EXPECT_EQ(constrained("-m2floor"), (std::vector<float>{.020f, .020f / 2, .020f / 8, .020f}));
  EXPECT_EQ(constrained("-m2round"), (std::vector<float>{.020f / 2, .020f / 4, .020f / 8, .020f}));
  EXPECT_EQ(constrained("-pow2floor"), (std::vector<float>{0x1p-7f, 0x1p-8f, 0x1p-9f, 0x1p-6f}));
  EXPECT_EQ(constrained("-pow2round"), (std::vector<float>{0x1p-7f, 0x1p-7f, 0x1p-9f, 0x1p-6f}));
  const std::vector<float> ceil = constrained("-m2ceil"), floor = constrained("-m2floor"), mse = constrained("-m2mse");
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(mse[i] == ceil[i] || mse[i] == floor[i]) << i;
}

TEST(Vectors, MatricesOfTheOracle) {
  std::ifstream file(testing::golden("format/matrices.txt"));
  ASSERT_TRUE(file.good());
  std::string key, word;
  int64_t rows = 0, cols = 0;
  file >> key >> rows >> cols;
  ASSERT_EQ(key, "matrix");
  const auto read_values = [&] {
    std::vector<float> values;
    for (int64_t i = 0; i < rows * cols && file >> word; ++i) {
      values.push_back(std::bit_cast<float>(static_cast<uint32_t>(std::stoul(word, nullptr, 16))));
    }
    return values;
  };
  const DenseMatrix w(rows, cols, read_values());
  int specs = 0;
  for (; file >> key; ++specs) {
    const std::vector<float> expected = read_values(), decoded = round_matrix(w, key)->decode_all();
    ASSERT_EQ(expected.size(), decoded.size()) << key;
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(decoded[i], expected[i]) << key << " " << i;
  }
  EXPECT_EQ(specs, 11);
}

}  // namespace
}  // namespace bitloom
