#include "format/table/power_products.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "format/table/fitted_table.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

std::vector<uint8_t> codes(int64_t count, int levels, uint64_t seed) {
  Rng rng(seed, 1);
  std::vector<uint8_t> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(static_cast<uint8_t>(rng.uniform() * levels));
  return all;
}

double dot_of_levels(const TableFormat& w, const TableFormat& x, const std::vector<uint8_t>& a,
                     const std::vector<uint8_t>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(w.levels[a[i]]) * static_cast<double>(x.levels[b[i]]);
  }
  return sum;
}

TEST(PowerProducts, LookUpsBeforeTheSumAreExact) {
  constexpr int64_t kTerms = 1000;
  for (const float exponent : {0.35f, 0.55f, 1.0f}) {
    for (const auto& [bits_w, bits_x] : {std::pair(4, 4), std::pair(3, 8), std::pair(8, 8)}) {
      const TableFormat w = power_table(bits_w, exponent), x = power_table(bits_x, exponent);
      const PowerProducts products(w, x);
      const auto a = codes(kTerms, static_cast<int>(w.levels.size()), 1),
                 b = codes(kTerms, static_cast<int>(x.levels.size()), 2);
      EXPECT_EQ(products.table().size(), (w.levels.size() / 2) * (x.levels.size() / 2) + 1);
      EXPECT_EQ(products.table().back(), 32767);
      // Every entry is off by half a unit at most.
      EXPECT_NEAR(products.dot(a, b), dot_of_levels(w, x, a, b), kTerms * 0.5 / 32767 + 1e-4);
    }
  }
}

TEST(PowerProducts, SquaresAreIntegersWithoutATable) {
  const TableFormat root = power_table(4, 0.5f);
  const auto a = codes(64, 15, 3), b = codes(64, 15, 4);
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int p = (a[i] - 7) * (b[i] - 7);
    sum += p * std::abs(p);
  }
  EXPECT_NEAR(dot_of_levels(root, root, a, b), static_cast<double>(sum) / (49.0 * 49.0), 1e-5);
}

TEST(PowerProducts, APowerAfterTheSumIsAnotherFunction) {
  const TableFormat w = power_table(4, 0.55f);
  const PowerProducts products(w, w);
  const auto a = codes(2, 15, 5), b = codes(2, 15, 6);
  for (size_t i = 0; i < 2; ++i) {  // of one product alone it is the same
    const std::span one(a.data() + i, 1), other(b.data() + i, 1);
    EXPECT_NEAR(products.dot_with_output_power(one, other), products.dot(one, other), 1e-4);
  }
  // 7 x 7 + 7 x 7: twice 1, and 2^(1/a).
  const std::vector<uint8_t> top = {14, 14};
  EXPECT_EQ(products.dot(top, top), 2);
  EXPECT_NEAR(products.dot_with_output_power(top, top), std::pow(2, 1 / 0.55), 1e-5);
}

TEST(PowerProducts, TheGapGrowsWithTheSumAndGoesAtExponentOne) {
  const PowerGap few = power_gap(power_table(4, 0.55f), 4), many = power_gap(power_table(4, 0.55f), 576);
  EXPECT_LT(many.product_table, 1e-3);
  EXPECT_GT(few.output_power, 0.3);
  EXPECT_GT(many.output_power, 3 * few.output_power);
  EXPECT_GT(many.output_power_scaled, 0.2);
  const PowerGap none = power_gap(power_table(4, 1), 576);
  EXPECT_LT(none.output_power, 1e-5);
  EXPECT_LT(none.output_power_scaled, 1e-3);
}

TEST(PowerProducts, RefusesWhatHasNoProducts) {
  const auto message = [](const TableFormat& w, const TableFormat& x) {
    try {
      const PowerProducts products(w, x);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("made");
  };
  const TableFormat power = power_table(4, 0.55f);
  EXPECT_THAT(message(power, *TableCodec::find("nf4")), HasSubstr("\"nf4\" is no power grid"));
  EXPECT_THAT(message(power, power_table(4, 0.5f)), HasSubstr("two exponents"));
}

}  // namespace
}  // namespace bitloom
