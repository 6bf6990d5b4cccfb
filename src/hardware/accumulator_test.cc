#include "hardware/accumulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace bitloom {
namespace {

__extension__ using Int128 = __int128;

Operand operand(const std::string& name) { return parse_weights(name, "test"); }

struct Row {
  const char* format;
  int product, published, exact;
};

// The floating-point page, 6.5, n = 4608 (ResNet-18's longest dot product). 0: not on the page. Its products are those
// of the published form; without mantissa bits the top is a power of two, and its square a bit shorter.
TEST(Accumulator, WidthsAreThoseOfThePage) {
  for (const Row& row :
       {Row{"e2m0", 7, 20, 18}, Row{"e1m1", 5, 18, 17}, Row{"e1m2", 7, 20, 19}, Row{"e2m1", 9, 22, 21},
        Row{"e3m0", 15, 28, 26}, Row{"e2m2", 11, 24, 23}, Row{"e3m1", 17, 30, 29}, Row{"e2m3", 13, 26, 25},
        Row{"e3m2", 19, 32, 31}, Row{"e3m3", 21, 34, 33}, Row{"e2m5", 17, 30, 30}, Row{"e3m4", 23, 36, 36},
        Row{"e4m3", 37, 50, 49}, Row{"e5m2", 67, 80, 79}, Row{"int8-narrow", 0, 30, 28}, Row{"int6-narrow", 0, 26, 24},
        Row{"int4-narrow", 0, 22, 19}, Row{"int3-narrow", 0, 20, 17}}) {
    const Operand a = operand(row.format);
    if (row.product > 0) {
      EXPECT_EQ(published_sum_bits(a, a, 1), row.product) << row.format;
      EXPECT_EQ(product_bits(a, a), row.product - (a.significand == 1 ? 1 : 0)) << row.format;
    }
    EXPECT_EQ(published_sum_bits(a, a, 4608), row.published) << row.format;
    EXPECT_EQ(exact_sum_bits(a, a, 4608), row.exact) << row.format;
  }
}

// 7.6: 2^12 extreme products. INT8: 15 + 12 = 27 bits; E4M3: 37 + 12 = 49.
TEST(Accumulator, TwelveBitsOfHeadroom) {
  EXPECT_EQ(exact_sum_bits(operand("int8-narrow"), operand("int8-narrow"), 4096), 27);
  EXPECT_EQ(exact_sum_bits(operand("e4m3"), operand("e4m3"), 4096), 49);
}

// W4A8: 12 of 0.5 times 245760 of 2^-9, 4096 times: 2949120 * 4096 = 12079595520 of 34 bits, and a sign. By hand.
TEST(Accumulator, DifferentOperands) {
  EXPECT_EQ(product_bits(operand("e2m1"), operand("e4m3")), 23);
  EXPECT_EQ(exact_sum_bits(operand("e2m1"), operand("e4m3"), 4096), 35);
  EXPECT_EQ(exact_sum_bits(operand("int4"), operand("int8"), 1), 12);  // 8 * 128 = 1024 of 11 bits
  // 65504 2^24 = 2047 2^29: 2047 2047 4096 2^58 has 22 + 12 + 58 bits.
  EXPECT_EQ(exact_sum_bits(operand("fp16"), operand("fp16"), 4096), 93);
}

TEST(Accumulator, PublishedWidthsAreEnough) {
  std::vector<Operand> operands;
  for (const std::string& name : format_names())
    if (family_of(*find_format(name)) != "table") operands.push_back(operand(name));
  for (const Operand& a : operands)
    for (const Operand& b : operands)
      for (const int64_t n : {1, 2, 3, 1024, 4608})
        EXPECT_GE(published_sum_bits(a, b, n), exact_sum_bits(a, b, n)) << a.name << " " << b.name << " " << n;
}

/// A format's levels as whole numbers of its least step, and that step.
struct Levels {
  std::vector<double> values;
  std::vector<Int128> steps;
  double step = 1;
};
Levels levels_of(const std::string& name) {
  Levels out;
  for (const float level : grid_of(*find_format(name)).levels) out.values.push_back(level);
  out.step = out.values.back();
  for (const double v : out.values)
    if (v > 0) out.step = std::min(out.step, v);
  for (const double v : out.values) out.steps.push_back(static_cast<Int128>(v / out.step));
  return out;
}

/// Whether v is a two's complement number of so many bits.
bool fits(Int128 v, int bits) {
  const Int128 half = Int128{1} << (bits - 1);
  return v >= -half && v < half;
}

constexpr int kRows = 4, kTerms = 512;

/// One row of indices of levels by another, in integers.
Int128 dot(const std::vector<Int128>& steps_a, const std::vector<Int128>& steps_b, const std::vector<size_t>& a,
           const std::vector<size_t>& b) {
  Int128 sum = 0;
  for (size_t k = 0; k < a.size(); ++k) sum += steps_a[a[k]] * steps_b[b[k]];
  return sum;
}

/// The same sum from the decoded values. A product of two levels is exact in fp64; it is cut at 2^32 of its least
/// steps, and each part's sum is exact in fp64 as long as it stays below 2^53.
Int128 dot_of_values(const Levels& la, const Levels& lb, const std::vector<size_t>& a, const std::vector<size_t>& b) {
  double high = 0, low = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    const double product = la.values[a[k]] * lb.values[b[k]] / (la.step * lb.step);
    const double upper = std::floor(product * 0x1p-32);
    high += upper, low += product - upper * 0x1p32;
  }
  return static_cast<Int128>(high) * (Int128{1} << 32) + static_cast<Int128>(low);
}

class ExactGemm : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

// Sums in the width that is claimed are those of the decoded values: random rows, and the rows of largest sums. One bit
// less does not hold the latter.
TEST_P(ExactGemm, HoldsEverySumAndNoBitIsSpare) {
  const auto& [name_a, name_b] = GetParam();
  const Levels la = levels_of(name_a), lb = levels_of(name_b);
  const int width = exact_sum_bits(operand(name_a), operand(name_b), kTerms);
  Rng rng(3, 0);
  const auto row = [&](const Levels& levels) {
    std::vector<size_t> out(kTerms);
    for (size_t& i : out) i = rng.next_u32() % levels.values.size();
    return out;
  };
  std::vector<std::vector<size_t>> a, b;
  for (int r = 0; r < kRows; ++r) a.push_back(row(la)), b.push_back(row(lb));
  for (const size_t end : {size_t{0}, la.values.size() - 1}) a.emplace_back(kTerms, end);
  for (const size_t end : {size_t{0}, lb.values.size() - 1}) b.emplace_back(kTerms, end);
  bool needs_all = false;
  for (const auto& x : a) {
    for (const auto& y : b) {
      const Int128 sum = dot(la.steps, lb.steps, x, y);
      EXPECT_TRUE(sum == dot_of_values(la, lb, x, y));
      EXPECT_TRUE(fits(sum, width));
      needs_all = needs_all || !fits(sum, width - 1);
    }
  }
  EXPECT_TRUE(needs_all);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, ExactGemm,
    ::testing::Values(std::pair{"int8", "int8"}, std::pair{"int4-narrow", "int8-narrow"}, std::pair{"e1m2", "e1m2"},
                      std::pair{"e2m0", "e2m0"}, std::pair{"e2m1", "e2m1"}, std::pair{"e3m0", "e3m0"},
                      std::pair{"e2m3", "e2m3"}, std::pair{"e3m2", "e3m2"}, std::pair{"e2m5", "e2m5"},
                      std::pair{"e3m4", "e3m4"}, std::pair{"e4m3", "e4m3"}, std::pair{"e4m3fn", "e4m3fn"},
                      std::pair{"e2m1", "e4m3"}, std::pair{"int4", "e4m3fn"}, std::pair{"e5m2", "e5m2"},
                      std::pair{"e5m2-ieee", "e5m2-ieee"}, std::pair{"e2m1", "e5m2"}),
    [](const auto& test) {
      std::string name = std::string(test.param.first) + "_" + test.param.second;
      for (char& c : name)
        if (c == '-') c = '_';
      return name;
    });

// 128 bits are needed for E5M2 alone: all others' sums of 4608 fit 64.
TEST(Accumulator, WordsThatHoldSums) {
  EXPECT_GT(exact_sum_bits(operand("e5m2"), operand("e5m2"), 4608), 64);
  EXPECT_LE(exact_sum_bits(operand("e4m3"), operand("e4m3"), 4608), 64);
  EXPECT_LE(exact_sum_bits(operand("e2m1"), operand("e5m2"), 4608), 64);
}

// fp32 sums are exact in any order up to 25 bits (6.5): E2M3 at n = 4608, forwards, backwards, from the outside. E3M0
// has 26, and the largest of its products (64 2^-2)^2, with small ones behind them, lose the small ones.
TEST(Accumulator, Fp32SumsAreExactUpToTheirBits) {
  const auto sums = [](const std::vector<float>& products) {
    float forwards = 0, backwards = 0;
    for (const float p : products) forwards += p;
    for (auto p = products.rbegin(); p != products.rend(); ++p) backwards += *p;
    return std::pair(forwards, backwards);
  };
  for (const char* name : {"e2m3", "e3m0"}) {
    const Levels levels = levels_of(name);
    const auto top = static_cast<float>(levels.values.back()), step = static_cast<float>(levels.step);
    std::vector<float> products(4608, top * top);
    std::fill(products.end() - 16, products.end(), step * step);
    const auto [forwards, backwards] = sums(products);
    EXPECT_EQ(forwards == backwards, exact_sum_bits(operand(name), operand(name), 4608) <= kFp32SumBits) << name;
  }
}

}  // namespace
}  // namespace bitloom
