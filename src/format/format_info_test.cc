#include "format/format_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "format/every_format.h"

namespace bitloom {
namespace {

FormatInfo info_on(const char* name) { return describe(*find_format(name)); }

TEST(FormatInfo, DescribesKnownFormats) {
  const FormatInfo fp4 = info_on("e2m1");
  EXPECT_EQ(fp4.family, "minifloat");
  EXPECT_EQ(fp4.bits, 4);
  EXPECT_EQ(fp4.levels, 15);
  EXPECT_EQ(fp4.min_positive, 0.5f);
  EXPECT_EQ(fp4.min, -6);
  EXPECT_EQ(fp4.max, 6);
  EXPECT_EQ(fp4.special, "-0 0x08");
  EXPECT_EQ(info_on("e4m3fn").special, "-0 0x80, NaN 0x7F 0xFF");
  EXPECT_EQ(info_on("e4m3fnuz").special, "NaN 0x80");
  EXPECT_EQ(info_on("e5m2-ieee").special, "-0 0x80, Inf 0x7C 0xFC, NaN 0x7D 0x7E .. 0xFF (6 codes)");
  EXPECT_EQ(info_on("int4").special, "");
  EXPECT_EQ(info_on("int4").levels, 16);
  EXPECT_EQ(info_on("int4-narrow").special, "unused 0x08");
  EXPECT_EQ(info_on("fp4-bnb").special, "unused 0x0F");
  EXPECT_EQ(info_on("nf4").levels, 16);
  EXPECT_EQ(info_on("table[-3;-2;-1]").min_positive, 0);
  EXPECT_EQ(info_on("table[-3;-2;-1]").special, "unused 0x03");
}

TEST(FormatInfo, TableHasEveryNameOnce) {
  std::set<std::string> names;
  for (const FormatInfo& row : format_table()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
  EXPECT_EQ(names.size(), format_names().size());
  for (const char* name : {"int2", "int8", "e2m1", "e3m2", "e4m3fn", "e5m2-ieee", "nf4", "fp4-bnb"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(FormatInfo, ListsEveryCode) {
  const std::vector<CodeInfo> codes = code_table(*find_format("e2m1"));
  ASSERT_EQ(codes.size(), 16u);
  EXPECT_EQ(codes[1].bits, "0 00 1");
  EXPECT_EQ(codes[1].meaning, "subnormal");
  EXPECT_EQ(codes[15].bits, "1 11 1");
  EXPECT_EQ(codes[15].value, -6);
  EXPECT_EQ(codes[8].meaning, "-0");
  EXPECT_EQ(code_table(*find_format("e3m0"))[5].bits, "0 101");
  EXPECT_EQ(code_table(*find_format("int3"))[4].bits, "100");
  for (const Format& format : testing::every_format()) {
    const FormatInfo row = describe(format);
    int finite = 0;
    for (const CodeInfo& code : code_table(format)) finite += std::isfinite(code.value) && code.meaning != "-0" ? 1 : 0;
    EXPECT_EQ(finite, row.levels) << row.name;
  }
}

}  // namespace
}  // namespace bitloom
