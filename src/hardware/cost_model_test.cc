#include "hardware/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace bitloom {
namespace {

Operand operand(const std::string& name) { return parse_weights(name, "test"); }

constexpr CostConstants kUnits = {2, 3, 5, 7, 11, 0};

// E2M1 x E4M3, n = 4096: products of 23 bits, sums of 35 (accumulator_test.cc). By hand:
//   multiplier 2 (2 * 4), exponents 3 (4 + 1), alignment 5 * 23 * 5, accumulator 7 * 35.
TEST(MacCost, ExactUnitByHand) {
  const MacCost cost = mac_cost(kUnits, operand("e2m1"), operand("e4m3"), Accumulator::kExact, 4096);
  EXPECT_DOUBLE_EQ(cost.multiplier, 16);
  EXPECT_DOUBLE_EQ(cost.exponents, 15);
  EXPECT_DOUBLE_EQ(cost.alignment, 575);
  EXPECT_DOUBLE_EQ(cost.accumulator, 245);
  EXPECT_DOUBLE_EQ(cost.rounding, 0);
  EXPECT_DOUBLE_EQ(cost.total(), 851);
  // Into a float: a shifter of 35 bits by 6 stages, a rounding.
  EXPECT_DOUBLE_EQ(cost_with_conversion(kUnits, operand("e2m1"), operand("e4m3"), 4096), 851 + 5 * 35 * 6 + 11);
}

// Integers have neither exponents nor alignment: 2 * 8 * 8 + 7 * 27. One exponent bit is an integer's grid: no shifter.
TEST(MacCost, IntegersHaveNoExponents) {
  EXPECT_DOUBLE_EQ(mac_cost(kUnits, operand("int8-narrow"), operand("int8-narrow"), Accumulator::kExact, 4096).total(),
                   128 + 189);
  EXPECT_DOUBLE_EQ(mac_cost(kUnits, operand("e1m2"), operand("e1m2"), Accumulator::kExact, 4096).alignment, 0);
}

// fp16: alignment 5 * 2 * 11 * 4, accumulator 7 * 11 + 3 * 5, rounding 11; fp32: 5 * 2 * 24 * 5, 7 * 24 + 3 * 8, 11.
TEST(MacCost, FloatingAddersDoNotDependOnTheProduct) {
  for (const char* name : {"int4", "e5m2"}) {
    const MacCost half = mac_cost(kUnits, operand(name), operand(name), Accumulator::kFp16, 9);
    EXPECT_DOUBLE_EQ(half.alignment + half.accumulator + half.rounding, 440 + 92 + 11);
    const MacCost single = mac_cost(kUnits, operand(name), operand(name), Accumulator::kFp32, 9);
    EXPECT_DOUBLE_EQ(single.alignment + single.accumulator + single.rounding, 1200 + 192 + 11);
  }
}

TEST(MacCost, ScalesOfGroupsEndASum) {
  EXPECT_EQ(terms_between_scales(operand("mxfp4"), parse_activations("int8-token", "test"), 4096), 32);
  EXPECT_EQ(terms_between_scales(operand("int4-g128"), operand("mxfp8e4m3"), 16), 16);
  EXPECT_EQ(terms_between_scales(operand("int4"), operand("e4m3"), 4096), 4096);
}

// The floating-point page, 7.6: 1.53 and 2.83 of an INT8 unit, which is 6 * 64 + 5 * 27 = 519 gates.
TEST(GateModel, MeetsItsFigures) {
  const CostModel& model = gate_model();
  const Operand int8 = operand("int8-narrow"), e4m3 = operand("e4m3");
  const double unit = mac_cost(model.constants, int8, int8, Accumulator::kExact, 4096).total();
  EXPECT_DOUBLE_EQ(unit, 519);
  EXPECT_NEAR(mac_cost(model.constants, e4m3, e4m3, Accumulator::kFp16, 4096).total() / unit, 1.53, 1e-5);
  EXPECT_NEAR(mac_cost(model.constants, e4m3, e4m3, Accumulator::kFp32, 4096).total() / unit, 2.83, 1e-5);
  EXPECT_LT(model.worst(), 1e-5);
}

/// What the fit minimizes.
double loss(const CostModel& model) { return std::pow(model.spread(), 2); }

// The constants of the file are the best for its figures: any of them half a percent off is worse.
TEST(LutModel, ConstantsAreTheBestFit) {
  const CostModel& model = lut_model();
  double CostConstants::*const fitted[] = {&CostConstants::multiplier, &CostConstants::exponent,
                                           &CostConstants::shifter, &CostConstants::rounding, &CostConstants::area};
  for (const auto member : fitted) {
    for (const double factor : {0.995, 1.005}) {
      CostConstants other = model.constants;
      other.*member *= factor;
      EXPECT_GT(loss(with_constants(model, other)), loss(model)) << factor;
    }
  }
  EXPECT_DOUBLE_EQ(model.constants.adder, 1);
  EXPECT_NEAR(model.spread(), 0.0733, 0.0001);
  EXPECT_LT(model.worst(), 0.135);
}

// 6.5: a minifloat unit takes 20 to 180 % more LUTs than that of the integer of as many bits. The model stays between 4
// and 175 %, rises with exponent bits at every width, and puts E5M2 on top.
TEST(LutModel, MinifloatsCostMoreThanIntegers) {
  const auto relative = [](const std::string& name, const std::string& integer) {
    const auto cost = [](const std::string& n) {
      return mac_cost(lut_model().constants, operand(n), operand(n), Accumulator::kExact, 4608).total();
    };
    return cost(name) / cost(integer);
  };
  EXPECT_NEAR(relative("e2m3", "int6-narrow"), 1.04, 0.01);
  EXPECT_NEAR(relative("e5m2", "int8-narrow"), 2.75, 0.01);
  EXPECT_LT(relative("e2m5", "int8-narrow"), relative("e3m4", "int8-narrow"));
  EXPECT_LT(relative("e3m4", "int8-narrow"), relative("e4m3", "int8-narrow"));
  EXPECT_LT(relative("e2m1", "int4-narrow"), relative("e3m0", "int4-narrow"));
}

TEST(CostModel, FiguresThatWereNotFittedStandBesideTheFit) {
  int beside = 0;
  for (const CostFigure& figure : lut_model().figures) {
    EXPECT_GT(figure.given, 0);
    EXPECT_FALSE(figure.source.empty());
    beside += figure.fitted ? 0 : 1;
  }
  EXPECT_EQ(beside, 5);
}

TEST(Accumulators, AreNamed) {
  for (const char* name : {"exact", "fp32", "fp16"}) EXPECT_EQ(name_of(parse_accumulator(name, "x")), name);
  EXPECT_THROW(parse_accumulator("fp8", "x"), Error);
}

}  // namespace
}  // namespace bitloom
