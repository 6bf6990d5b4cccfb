// What formats cost in hardware.

#include <gtest/gtest.h>

#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;

// The page on floating-point formats, 6.5: E4M3 at n = 4608 has products of 37 bits, sums of 49, and builds 50.
TEST(Cost, WidthsPartsAndBytes) {
  const json record = run_json({"cost", "--weights", "e4m3", "--acts", "e4m3", "--dot", "4608"});
  EXPECT_EQ(record.at("product_bits"), 37);
  EXPECT_EQ(record.at("exact_sum_bits"), 49);
  EXPECT_EQ(record.at("published_sum_bits"), 50);
  EXPECT_EQ(record.at("word"), "int64");
  EXPECT_FALSE(record.at("fp32_sums_exact"));
  EXPECT_EQ(record.at("bytes").at("weights"), 4608);
  const json& gates = record.at("gates").at("parts");
  EXPECT_EQ(gates.at("multiplier"), 6 * 4 * 4);
  EXPECT_EQ(gates.at("accumulator"), 5 * 49);
  EXPECT_NEAR(record.at("luts").at("misfit_rms").get<double>(), 0.073, 0.001);
}

// 7.6: 1.53 and 2.83 times an INT8 unit.
TEST(Cost, FloatingSumsAreThoseOfTheWhitepaper) {
  for (const auto& [sums, factor] : {std::pair("fp16", 1.53), {"fp32", 2.83}}) {
    const json record = run_json({"cost", "--weights", "e4m3", "--acts", "e4m3", "--acc", sums});
    EXPECT_NEAR(record.at("gates").at("relative_to_int8").get<double>(), factor, 1e-4);
  }
}

TEST(Cost, SaysWhoseFitItIs) {
  const std::string text = run_bitloom({"cost", "--weights", "int4-g128", "--acts", "int8-token", "--figures"}).out;
  EXPECT_NE(text.find("LUTs: our fit to 11 published figures, off by 7.3 %"), std::string::npos) << text;
  EXPECT_NE(text.find("exact sums    19 bits (int32) of 128 products"), std::string::npos) << text;
  EXPECT_NE(text.find("not fitted"), std::string::npos);
}

}  // namespace
}  // namespace bitloom::testing
