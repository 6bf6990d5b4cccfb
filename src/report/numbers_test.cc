#include "report/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitloom {
namespace {

TEST(Numbers, SignificantDigitsSurviveRoundingUp) {
  EXPECT_EQ(format_significant(14.6249, 4), "14.62");
  EXPECT_EQ(format_significant(9.9996, 4), "10.00");
  EXPECT_EQ(format_significant(99.96, 3), "100");
  EXPECT_EQ(format_significant(0.0031, 3), "0.00310");
  EXPECT_EQ(format_significant(-0.5, 2), "-0.50");
  EXPECT_EQ(format_significant(0, 3), "0.00");
}

TEST(Numbers, ExponentsOnlyWhereDigitsWouldNotFit) {
  EXPECT_EQ(format_significant(186312.7, 4), "186313");
  EXPECT_EQ(format_significant(1.86e7, 3), "1.86e+07");
  EXPECT_EQ(format_significant(0.00012, 2), "0.00012");
  EXPECT_EQ(format_significant(0.000012, 2), "1.2e-05");
  EXPECT_EQ(format_significant(std::numeric_limits<double>::infinity(), 3), "inf");
  EXPECT_EQ(format_significant(std::nan(""), 3), "nan");
}

TEST(Numbers, AnIntervalDecidesTheDigits) {
  EXPECT_EQ(format_interval(0.031234, 0.030434, 0.032034), "0.0312 ± 0.0008");
  EXPECT_EQ(format_interval(0.31234, 0.29934, 0.32534), "0.312 ± 0.013");
  EXPECT_EQ(format_interval(4.9, 1.9, 7.9), "5 ± 3");
  EXPECT_EQ(format_interval(120.4, 80.4, 160.4), "120 ± 40");
  EXPECT_EQ(format_interval(0.25, 0.25, 0.25), "0.250");
  EXPECT_EQ(format_interval(0.25, 0.1, std::numeric_limits<double>::infinity()), "0.250");
  EXPECT_EQ(format_interval(3.1e-9, 3.0e-9, 3.2e-9), "3.10e-09 ± 1e-10");
}

TEST(Numbers, SizesAndShares) {
  EXPECT_EQ(format_mib(0), "0.00");
  EXPECT_EQ(format_mib(1024 * 1024), "1.00");
  EXPECT_EQ(format_mib(15 * 1024 * 1024 + 512 * 1024), "15.5");
  EXPECT_EQ(format_mib(int64_t{270} << 20), "270");
  EXPECT_EQ(format_mib(1024), "<0.01");
  EXPECT_EQ(format_percent(0.9734), "97.3 %");
  EXPECT_EQ(format_percent(1), "100.0 %");
  EXPECT_EQ(format_bits(4.125), "4.12");
}

TEST(Numbers, CountsAndRates) {
  EXPECT_EQ(format_count(49152), "49152");
  EXPECT_EQ(format_count(134515008), "135 M");
  EXPECT_EQ(format_count(3145728), "3.15 M");
  EXPECT_EQ(format_count(250000), "250 k");
  EXPECT_EQ(format_count(int64_t{7} * 1000000000), "7.00 G");
  EXPECT_EQ(format_rate(85.31), "85.3");
  EXPECT_EQ(format_rate(1240.4), "1240");
  EXPECT_EQ(format_rate(0.408), "0.408");
}

TEST(Numbers, Durations) {
  EXPECT_EQ(format_duration(0.41), "0.4 s");
  EXPECT_EQ(format_duration(99.9), "99.9 s");
  EXPECT_EQ(format_duration(125.2), "2:05 min");
  EXPECT_EQ(format_duration(3599.7), "1:00:00 h");
  EXPECT_EQ(format_duration(11560), "3:12:40 h");
}

}  // namespace
}  // namespace bitloom
