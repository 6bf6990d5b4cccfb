#include "hardware/operand.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace bitloom {
namespace {

double steps(const std::string& name) {
  const Operand operand = parse_operand(name, "test");
  EXPECT_EQ(operand.top % 2, 1u) << name;
  return std::ldexp(static_cast<double>(operand.top), operand.shift);
}

// The largest magnitude over the least positive one, from the tables of the floating-point page, section 1, and
// IEEE 754: 65504 of 2^-24, bfloat16's (2 - 2^-7) 2^127 of 2^-133, fp32's (2 - 2^-23) 2^127 of 2^-149.
TEST(Operand, RangesAreThoseOfTheFormats) {
  EXPECT_EQ(steps("int8"), 128);
  EXPECT_EQ(steps("int8-narrow"), 127);
  EXPECT_EQ(steps("int8q6-narrow"), 127);
  EXPECT_EQ(steps("e2m1"), 12);
  EXPECT_EQ(steps("e3m0"), 64);
  EXPECT_EQ(steps("e1m2"), 7);
  EXPECT_EQ(steps("e4m3"), 480 * 512);
  EXPECT_EQ(steps("e4m3fn"), 448 * 512);
  EXPECT_EQ(steps("e5m2-ieee"), 57344 * 65536.0);
  EXPECT_EQ(steps("e7m0"), std::ldexp(1.0, 126));
  EXPECT_EQ(steps("fp16"), std::ldexp(65504.0, 24));
  EXPECT_EQ(steps("bf16"), std::ldexp(255.0, 127 - 7 + 133));
  EXPECT_EQ(steps("fp32"), std::ldexp(16777215.0, 127 - 23 + 149));
}

TEST(Operand, StoragesTakeTheirScalesAlong) {
  const Operand mxfp4 = parse_operand("mxfp4", "test");
  EXPECT_EQ(mxfp4.significand, 2);
  EXPECT_EQ(mxfp4.group, 32);
  EXPECT_DOUBLE_EQ(mxfp4.stored_bits, 4.25);  // the page, 3.1
  const Operand int4 = parse_operand("int4-g128", "test");
  EXPECT_EQ(int4.significand, 4);
  EXPECT_DOUBLE_EQ(int4.stored_bits, 4.125);
  const Operand tokens = parse_operand("int8-token", "test");
  EXPECT_EQ(tokens.significand, 8);
  EXPECT_EQ(tokens.group, 0);
}

// Codes 0..15 less a zero point among them are -15..15.
TEST(Operand, ZeroPointsCostABit) {
  EXPECT_EQ(steps("int4-g128-asym"), 15);
  EXPECT_EQ(parse_operand("int4-g128-asym", "test").significand, 5);
}

TEST(Operand, NamesThatAreNoneAreExplained) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_operand(text, "cost: --weights");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("e4m33").find("cost: --weights: unknown format 'e4m33' (did you mean 'e4m3'?)"), std::string::npos);
  EXPECT_NE(message("fp23").find("did you mean 'fp"), std::string::npos);
  EXPECT_NE(message("e0m3").find("has no exponent bits"), std::string::npos);
  EXPECT_NE(message("nf4").find("table of levels: it has neither exponent bits"), std::string::npos);
  EXPECT_NE(message("nf4-g64").find("table of levels"), std::string::npos);
}

}  // namespace
}  // namespace bitloom
