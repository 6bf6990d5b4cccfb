#include "format/table/fitted_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format/families/grid/grid_matrix.h"
#include "format/format.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

TEST(PowerTable, LevelsAreThePowersOfEvenSteps) {
  const TableFormat root = power_table(4, 0.5f);
  ASSERT_EQ(root.levels.size(), 15u);
  for (int k = -7; k <= 7; ++k) {
    EXPECT_FLOAT_EQ(root.levels[static_cast<size_t>(k + 7)], static_cast<float>(k * std::abs(k)) / 49) << k;
  }
  EXPECT_EQ(power_table(2, 0.3f).levels, (std::vector<float>{-1, 0, 1}));
  const TableFormat low = power_table(8, kLeastExponent);
  for (size_t i = 1; i < low.levels.size(); ++i) EXPECT_LT(low.levels[i - 1], low.levels[i]) << i;
}

TEST(PowerTable, OfExponentOneIsTheNarrowInteger) {
  for (int bits = 2; bits <= 8; ++bits) {
    const std::vector<float> power = power_table(bits, 1).levels, integer = grid_of(IntFormat{bits, true}).levels;
    ASSERT_EQ(power.size(), integer.size());
    const float q = integer.back();
    for (size_t i = 0; i < power.size(); ++i) EXPECT_FLOAT_EQ(power[i] * q, integer[i]);
  }
}

/// Q_a(w) and its inverse by the paper's formula (4.1), read literally: with levels in the domain of |w|^a codes are
/// rounded there, so neighbours of the midpoints may differ; every level comes back as itself.
TEST(PowerTable, EveryLevelIsItsOwnCode) {
  for (const float exponent : {0.3f, 0.55f, 1.0f, 1.5f}) {
    const Grid grid = grid_of(Format(power_table(4, exponent)));
    for (size_t i = 0; i < grid.levels.size(); ++i) {
      const double w = grid.levels[i];
      const double code = std::nearbyint(7 * std::copysign(std::pow(std::abs(w), exponent), w));
      EXPECT_EQ(static_cast<int>(code) + 7, grid.codes[i]) << exponent;
      EXPECT_EQ(encode_nearest(grid, grid.levels[i], Ties::kEven), grid.codes[i]);
    }
  }
}

TEST(FittedTable, NamesSayWhatIsToBeFitted) {
  const auto request = [](const char* name) { return fit_request(*find_fitted_table(name)); };
  EXPECT_EQ(request("pow4"), (FitRequest{true, 4, FitScope::kModel}));
  EXPECT_EQ(request("pow8[role]"), (FitRequest{true, 8, FitScope::kRole}));
  EXPECT_EQ(request("table3[matrix]"), (FitRequest{false, 3, FitScope::kMatrix}));
  EXPECT_EQ(request("pow4[0.55]"), std::nullopt);
  EXPECT_EQ(fit_request(*TableCodec::find("nf4")), std::nullopt);
  EXPECT_EQ(fit_request(make_table({-1, 1})), std::nullopt);
  EXPECT_EQ(exponent_of(*find_fitted_table("pow4[0.55]")), 0.55f);
  EXPECT_EQ(exponent_of(*find_fitted_table("pow4")), 1.0f);
  EXPECT_EQ(exponent_of(*find_fitted_table("table4")), std::nullopt);
  for (const char* name : {"pow4", "pow4[matrix]", "table2", "table4[role]", "pow4[0.55]"}) {
    EXPECT_EQ(name_of(*find_format(name)), name);
  }
  EXPECT_EQ(name_of(*find_format("pow4[0.550]")), "pow4[0.55]");
  for (const char* name : {"pow", "pow44", "pow4[", "pow4[]", "pow4]", "table4[role", "table"}) {
    EXPECT_EQ(find_fitted_table(name), std::nullopt) << name;
  }
}

std::string misused(const char* text) {
  try {
    find_fitted_table(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  return "accepted";
}

TEST(FittedTable, RefusesWidthsExponentsAndScopesThatThereAreNot) {
  EXPECT_THAT(misused("pow1"), HasSubstr("power grids have 2 to 8 bits, not 1"));
  EXPECT_THAT(misused("table8"), HasSubstr("fitted tables have 2 to 4 bits, not 8"));
  EXPECT_THAT(misused("pow4[2.5]"), HasSubstr("an exponent from 0.1 to 2"));
  EXPECT_THAT(misused("pow4[nan]"), HasSubstr("found \"nan\""));
  EXPECT_THAT(misused("pow4[layer]"), HasSubstr("\"role\" or \"matrix\""));
  EXPECT_THAT(misused("table4[0.5]"), HasSubstr("one [role]"));
}

TEST(FittedTable, NoMatrixIsStoredInWhatIsNotFittedYet) {
  const GridStorage open = parse_grid("table4-row"), named = parse_grid("pow4[0.6]-row");
  EXPECT_EQ(to_string(open), "table4-row");
  EXPECT_EQ(nominal_bits(open, 16, 32), 4.5);
  EXPECT_EQ(nominal_bits(named, 16, 32), 4.5);
  const std::vector<std::byte> codes(16 * 16), scales(32);
  const std::vector<TensorPart> parts = {{".codes", DType::kU8, {16, 16}, codes},
                                         {".scales", DType::kF16, {16, 1}, scales}};
  EXPECT_NO_THROW(open_base("w", named, 16, 32, parts));
  try {
    open_base("w", open, 16, 32, parts);
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_THAT(error.what(), HasSubstr("w: table4-row leaves open which levels"));
  }
}

}  // namespace
}  // namespace bitloom
