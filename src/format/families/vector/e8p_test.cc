#include "format/families/vector/e8p.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/rng.h"
#include "base/test_data.h"
#include "format/stored_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

int squares(const std::array<int8_t, kE8pGroup>& a) {
  int sum = 0;
  for (const int8_t x : a) sum += x * x;
  return sum;
}

// 227 absolute vectors of D8 + 1/2 have a squared norm of at most 10, and 29 of norm 12 fill the byte up.
TEST(E8p, TableIsThePapers) {
  const E8pTable& table = e8p_table();
  std::set<std::array<int8_t, kE8pGroup>> seen(table.begin(), table.end());
  EXPECT_EQ(seen.size(), 256u);
  int by_norm[13] = {};
  for (size_t k = 0; k < table.size(); ++k) {
    for (const int8_t x : table[k]) EXPECT_TRUE(x == 1 || x == 3 || x == 5);
    ++by_norm[squares(table[k]) / 4];
    if (k < 227) continue;
    EXPECT_EQ(squares(table[k]), 48) << k;
    EXPECT_EQ(std::count(table[k].begin(), table[k].end(), int8_t{3}), 5) << k;
  }
  // By the number of 3s and 5s: {}; {3}; {3,3}; {3,3,3} and {5}; {3,3,3,3} and {5,3}.
  EXPECT_EQ(by_norm[2], 1);
  EXPECT_EQ(by_norm[4], 8);
  EXPECT_EQ(by_norm[6], 28);
  EXPECT_EQ(by_norm[8], 56 + 8);
  EXPECT_EQ(by_norm[10], 70 + 56);
  EXPECT_EQ(by_norm[12], 29);
}

/// Whether x / 4 is in E8: all coordinates integers, or all halves of odd ones, and their sum even.
bool is_in_e8(const int* quarters) {
  int sum = 0;
  const bool halves = quarters[0] % 4 != 0;
  for (int64_t i = 0; i < kE8pGroup; ++i) {
    if (quarters[i] % 2 != 0 || (quarters[i] % 4 != 0) != halves) return false;
    sum += quarters[i];
  }
  return sum % 8 == 0;
}

// All 65536 codes: different points, of E8 + 1/4, as near the origin as the table says.
TEST(E8p, CodesAreDifferentPointsOfTheShiftedLattice) {
  const E8pTable& table = e8p_table();
  std::set<std::vector<int>> seen;
  for (uint32_t code = 0; code < 0x10000; ++code) {
    float point[kE8pGroup];
    decode_e8p(table, static_cast<uint16_t>(code), point);
    int shifted[kE8pGroup];
    const int shift = (code & 0x80) != 0 ? 1 : -1;
    for (uint32_t i = 0; i < kE8pGroup; ++i) {
      const int quarters = static_cast<int>(point[i]), unshifted = quarters - shift;
      shifted[i] = quarters - 1;
      ASSERT_EQ(std::abs(unshifted), 2 * table[code >> 8][i]) << code;
      if (i < 7) {
        ASSERT_EQ(unshifted < 0, (code >> i & 1) != 0) << code;
      }
    }
    ASSERT_TRUE(is_in_e8(shifted)) << code;
    seen.insert(std::vector<int>(point, point + kE8pGroup));
  }
  EXPECT_EQ(seen.size(), 65536u);
}

// By hand: the first vector is all halves, whose sum 4 is even, so no sign or an even number of them.
TEST(E8p, FirstPoints) {
  const auto point = [](uint16_t code) {
    std::vector<float> out(kE8pGroup);
    decode_e8p(e8p_table(), code, out.data());
    return out;
  };
  EXPECT_EQ(point(0x0080), (std::vector<float>{3, 3, 3, 3, 3, 3, 3, 3}));
  EXPECT_EQ(point(0x0000), (std::vector<float>{1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(point(0x0081), (std::vector<float>{-1, 3, 3, 3, 3, 3, 3, -1})) << "the last sign makes the sum even";
  EXPECT_EQ(point(0x0003), (std::vector<float>{-3, -3, 1, 1, 1, 1, 1, 1}));
  // The second, seven halves and 3/2: its sum 5 is odd, so an odd number of signs.
  EXPECT_EQ(point(0x0180), (std::vector<float>{3, 3, 3, 3, 3, 3, 3, -5}));
  EXPECT_EQ(point(0x0101), (std::vector<float>{-3, 1, 1, 1, 1, 1, 1, 5}));
}

TEST(E8pStorage, TextAndBits) {
  EXPECT_EQ(to_string(parse_storage("e8p")), "e8p");
  EXPECT_EQ(to_string(parse_storage("e8p+frame-in64-out64-outscales")), "e8p+frame-in64-out64-outscales");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { parse_storage("e8p-g8"); }), HasSubstr("\"e8p-g8\""));
  EXPECT_EQ(nominal_bits(parse_storage("e8p"), 64, 64), 2);
  EXPECT_DOUBLE_EQ(nominal_bits(parse_storage("e8p"), 3, 12), 16.0 * 2 / 12) << "4 weights of a last point of 8";
}

TEST(E8pMatrix, DecodesPointsTimesTheScale) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{16, 32}, {257, 24}, {5, 13}, {1, 1}}) {
    const int64_t groups = (cols + 7) / 8;
    Rng rng(2, 2);
    std::vector<uint16_t> codes;
    for (int64_t i = 0; i < rows * groups; ++i) codes.push_back(static_cast<uint16_t>(rng.next_u32()));
    const auto w = stored_from_bytes("w", parse_storage("e8p"), rows, cols, pack_e8p(codes, 0.375f));
    w->check_values("w");
    EXPECT_NEAR(w->true_bits(), (16.0 * static_cast<double>(rows * groups) + 32) / static_cast<double>(rows * cols),
                1e-12);
    const std::vector<float> all = w->decode_all();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        float point[kE8pGroup];
        decode_e8p(e8p_table(), codes[static_cast<size_t>(r * groups + c / 8)], point);
        ASSERT_EQ(all[static_cast<size_t>(r * cols + c)], 0.375f * point[c % 8]) << r << " " << c;
      }
    }
    const int64_t begin = rows / 3, end = rows - rows / 4;
    std::vector<float> some(static_cast<size_t>((end - begin) * cols));
    w->decode_rows(begin, end, some.data());
    EXPECT_EQ(some, std::vector<float>(all.begin() + begin * cols, all.begin() + end * cols));
  }
}

TEST(E8pMatrix, RefusesAndFindsWhatMeansNothing) {
  const Storage storage = parse_storage("e8p");
  const std::vector<uint16_t> codes(10);
  for (const float scale : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const auto w = stored_from_bytes("w", storage, 5, 16, pack_e8p(codes, scale));
    EXPECT_THAT(message_of(ErrorKind::kUnverified, [&] { w->check_values("w"); }), HasSubstr("w.scale: is"));
  }
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { stored_from_bytes("w", storage, 5, 17, pack_e8p(codes, 1)); }),
            "w.codes: holds 20 bytes, its shape needs 30");
}

}  // namespace
}  // namespace bitloom
