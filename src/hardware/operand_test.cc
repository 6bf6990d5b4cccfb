#include "hardware/operand.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format/activations/activation_format.h"

namespace bitloom {
namespace {

double steps(const std::string& name) {
  const Operand operand = parse_weights(name, "test");
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
  const Operand mxfp4 = parse_weights("mxfp4", "test");
  EXPECT_EQ(mxfp4.significand, 2);
  EXPECT_EQ(mxfp4.group, 32);
  EXPECT_DOUBLE_EQ(mxfp4.stored_bits, 4.25);  // the page, 3.1
  const Operand int4 = parse_weights("int4-g128", "test");
  EXPECT_EQ(int4.significand, 4);
  EXPECT_DOUBLE_EQ(int4.stored_bits, 4.125);
}

// Scales of groups and tokens are fp32; tokens are 4096 long. One scale of all tokens takes nothing.
TEST(Operand, ActivationsTakeTheirScalesAlong) {
  const auto bits = [](const char* text) { return parse_activations(text, "test").stored_bits; };
  const Operand tokens = parse_activations("int8-token", "test");
  EXPECT_EQ(tokens.name, "int8-token");
  EXPECT_EQ(tokens.significand, 8);
  EXPECT_EQ(tokens.group, 0);
  EXPECT_EQ(tokens.stored_bits, 8 + 32.0 / 4096);
  EXPECT_EQ(bits("int8-token-asym"), 8 + 40.0 / 4096);
  EXPECT_EQ(parse_activations("int8-token-asym", "test").significand, 9);
  EXPECT_EQ(bits("int8-g128"), 8.25);
  EXPECT_EQ(parse_activations("int8-g128", "test").group, 128);
  EXPECT_EQ(bits("mxfp4-rceil"), 4.25);
  EXPECT_EQ(parse_activations("mxfp4-rceil", "test").group, 32);
  EXPECT_EQ(bits("nvfp4-p99.9"), 4.5);
  EXPECT_EQ(bits("bf16"), 16);
  for (const char* range : {"", "-p99.9", "-absmax", "-mse", "-kl", "-at[3.25]", "-at[...]"})
    EXPECT_EQ(bits(("int8-tensor" + std::string(range)).c_str()), 8) << range;
  EXPECT_EQ(parse_activations("int8-tensor-at[...]", "test").name, "int8-tensor-at[...]");
  EXPECT_EQ(parse_activations("int8-asym-tensor-at[...]", "test").significand, 9);
}

// What kind_text() writes of any format is read: codes and scales do not depend on the numbers that it leaves out.
TEST(Operand, ActivationsAreReadAsKindTextWritesThem) {
  const auto is_read = [](const std::string& text, const std::string& without_numbers) {
    const std::string kind = kind_text(parse_activation_format(text));
    Operand operand = parse_activations(kind, "test");
    EXPECT_EQ(operand.name, kind);
    operand.name = without_numbers;
    EXPECT_EQ(operand, parse_activations(without_numbers, "test")) << kind;
  };
  for (const std::string rotation : {"", "-had64", "-had64-seed7"}) {
    is_read("int8-token" + rotation, "int8-token");
    is_read("int8-g128" + rotation, "int8-g128");
    is_read("mxfp4-rceil" + rotation, "mxfp4-rceil");
    is_read("nvfp4-at[2.5]" + rotation, "nvfp4");
    is_read("int8-tensor-at[3.25]" + rotation, "int8-tensor");
    is_read("int8-asym-tensor-at[-1;2]" + rotation, "int8-asym-tensor");
  }
  is_read("e2m1-tensor-at[3]-shift[0120]", "e2m1-tensor");
}

// Codes 0..15 less a zero point among them are -15..15.
TEST(Operand, ZeroPointsCostABit) {
  EXPECT_EQ(steps("int4-g128-asym"), 15);
  EXPECT_EQ(parse_weights("int4-g128-asym", "test").significand, 5);
}

TEST(Operand, NamesThatAreNoneAreExplained) {
  const auto message = [](const char* text) -> std::string {
    try {
      parse_weights(text, "cost: --weights");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* text : {"nf4", "nf4-g64", "int4-g0", "int8-token", "fp4-bnb-g64", "e4m33"})
    EXPECT_EQ(message(text).find("cost: --weights: "), 0u) << message(text);
  EXPECT_NE(message("int4-g0").find("-g0"), std::string::npos) << message("int4-g0");
  EXPECT_NE(message("int8-token").find("-token"), std::string::npos) << message("int8-token");
  EXPECT_NE(message("fp4-bnb-g64").find("table of levels"), std::string::npos);
  EXPECT_NE(message("e4m33").find("cost: --weights: unknown format 'e4m33' (did you mean 'e4m3'?)"), std::string::npos);
  EXPECT_NE(message("fp23").find("did you mean 'fp"), std::string::npos);
  EXPECT_NE(message("e0m3").find("has no exponent bits"), std::string::npos);
  EXPECT_NE(message("nf4").find("table of levels: it has neither exponent bits"), std::string::npos);
  EXPECT_NE(message("nf4-g64").find("table of levels"), std::string::npos);
  EXPECT_THROW(parse_activations("int8-block64x64", "cost: --acts"), Error);
}

}  // namespace
}  // namespace bitloom
