#include "format/quant_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "format/every_format.h"

namespace bitloom {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using Kind = Granularity::Kind;

std::string message(const std::string& text) {
  return testing::message_of(ErrorKind::kUsage, [&] { parse_spec(text); });
}

TEST(QuantSpec, ReadsShortNames) {
  const QuantSpec spec = parse_spec("int4-g128");
  EXPECT_EQ(spec.format, Format(IntFormat{4, false}));
  EXPECT_EQ(spec.granularity, (Granularity{Kind::kGroup, 128, 0}));
  EXPECT_EQ(spec.scale, ScaleType::kF16);
  EXPECT_FALSE(spec.asymmetric);

  EXPECT_TRUE(parse_spec("int3-g64-asym").asymmetric);
  EXPECT_EQ(parse_spec("e3m2-row").granularity.kind, Kind::kRow);
  EXPECT_EQ(parse_spec("int8").granularity.kind, Kind::kRow);
  EXPECT_EQ(parse_spec("nf4-tensor").granularity.kind, Kind::kTensor);
  EXPECT_EQ(parse_spec("e4m3fn-block64x128").granularity, (Granularity{Kind::kBlock, 128, 64}));
  EXPECT_EQ(parse_spec("e5m2-ieee-g32").format, Format(kE5M2Ieee));
  EXPECT_EQ(parse_spec("int4-narrow-g32"), parse_spec("int4-g32-narrow"));
  EXPECT_EQ(parse_spec("fp4-bnb-g64").format, *find_format("fp4-bnb"));
  EXPECT_EQ(parse_spec("int4-mse3").range.mse_exponent, 3);
  EXPECT_EQ(parse_spec("int4-p99.5").range.percentile, 99.5);
  EXPECT_EQ(std::get<TableFormat>(parse_spec("table[-1;-1e-05;0;1]-g64").format).levels[1], -1e-5f);
}

TEST(QuantSpec, WideFormatsGetScalesInBf16) {
  EXPECT_EQ(parse_spec("e5m2-g32").scale, ScaleType::kBF16);
  EXPECT_EQ(parse_spec("e5m2-g32-f16").scale, ScaleType::kF16);
  EXPECT_EQ(parse_spec("e4m3-g32").scale, ScaleType::kF16);
}

TEST(QuantSpec, NamedSchemes) {
  const QuantSpec mxfp4 = parse_spec("mxfp4");
  EXPECT_EQ(mxfp4.format, Format(kE2M1));
  EXPECT_EQ(mxfp4.granularity, (Granularity{Kind::kGroup, 32, 0}));
  EXPECT_EQ(mxfp4.scale, ScaleType::kE8M0);
  EXPECT_EQ(mxfp4.mx_mode, MxMode::kFloor);
  EXPECT_EQ(parse_spec("mxfp4-rceil").mx_mode, MxMode::kRceil);
  EXPECT_EQ(parse_spec("e2m1-g32-e8m0"), mxfp4);
  EXPECT_EQ(to_string(parse_spec("e2m1-g32-e8m0-even")), "mxfp4-even");
  EXPECT_EQ(to_string(parse_spec("mxfp4-g16")), "e2m1-g16-e8m0");
  const QuantSpec nvfp4 = parse_spec("nvfp4");
  EXPECT_EQ(nvfp4.granularity.group, 16);
  EXPECT_EQ(nvfp4.scale, ScaleType::kE4M3TwoLevel);
  EXPECT_EQ(parse_spec("mxint8").format, Format(IntFormat{8, true, 6}));
  for (const std::string& name : named_schemes()) EXPECT_EQ(to_string(parse_spec(name)), name);
}

/// Every format with every option that it admits.
TEST(QuantSpec, TextRoundTrips) {
  const char* const options[] = {"-row",       "-tensor",     "-g1",        "-g64",      "-block2x16",
                                 "-asym",      "-f32",        "-f16",       "-bf16",     "-e8m0",
                                 "-e8m0-ceil", "-e8m0-rceil", "-e8m0-even", "-e4m3x",    "-e4m3x-sminnormal",
                                 "-m1",        "-pow2round",  "-pow2floor", "-pow2mse",  "-m2ceil",
                                 "-m2round",   "-m2floor",    "-m2mse",     "-mse",      "-mse2",
                                 "-mse0.7",    "-p99.99",     "-p100",      "-tiesaway", "-tieszero"};
  const auto try_text = [](const std::string& text) {
    QuantSpec spec;
    try {
      spec = parse_spec(text);
    } catch (const Error&) {
      return 0;
    }
    EXPECT_EQ(parse_spec(to_string(spec)), spec) << text << " -> " << to_string(spec);
    EXPECT_EQ(to_string(parse_spec(to_string(spec))), to_string(spec));
    return 1;
  };
  int accepted = 0;
  for (const Format& format : testing::every_format()) {
    for (const char* option : options) accepted += try_text(name_of(format) + option);
  }
  std::vector<std::string> names = named_schemes();
  for (const char* name : {"int4", "int3-narrow", "e2m1", "e5m2", "e4m3b8", "nf4", "table[-1;0.1;2]"})
    names.push_back(name);
  for (const std::string& name : names) {
    for (const char* first : options) {
      for (const char* second : options) accepted += try_text(name + first + second);
    }
  }
  EXPECT_GT(accepted, 9000);
}

TEST(QuantSpec, CanonicalText) {
  EXPECT_EQ(to_string(parse_spec("int4")), "int4-row");
  EXPECT_EQ(to_string(parse_spec("int4-f16-g32")), "int4-g32");
  EXPECT_EQ(to_string(parse_spec("int4-mse2.4-asym-bf16-g32")), "int4-g32-asym-bf16-mse");
  EXPECT_EQ(to_string(parse_spec("e5m2-bf16")), "e5m2-row");
  EXPECT_EQ(to_string(parse_spec("int4-p0.00001")), "int4-row-p0.00001");
  EXPECT_EQ(to_string(parse_spec("int4-p99.90")), "int4-row-p99.9");
  EXPECT_EQ(to_string(parse_spec("table[-1;0;1]-g64")), "table[-1;0;1]-g64");
  EXPECT_EQ(to_string(QuantSpec{}), "int4-row");
}

TEST(QuantSpec, MessagesNameThePartAndTheAllowedOnes) {
  EXPECT_THAT(message("int9-g128"), HasSubstr("unknown format \"int9\" in \"int9-g128\"; formats are int2..int8"));
  EXPECT_THAT(message("int9-g128"), HasSubstr("did you mean 'int"));
  EXPECT_THAT(message("mxfp44"), HasSubstr("did you mean 'mxfp4'?"));
  EXPECT_THAT(message("int4g32"), HasSubstr("did you mean 'int4-g32'?"));
  EXPECT_THAT(message("int4_g32"), HasSubstr("did you mean 'int4-g32'?"));
  EXPECT_THAT(message(""), HasSubstr("unknown format \"\""));
  EXPECT_THAT(message("int4-g0"), EndsWith("\"-g0\" in \"int4-g0\" should be -gN (a positive integer)"));
  EXPECT_THAT(message("int4-g32-prow"), HasSubstr("did you mean 'row'?"));
  EXPECT_THAT(message("int4-g-1"), HasSubstr("\"-g\""));
  EXPECT_THAT(message("int4-block4"), HasSubstr("-blockRxC"));
  EXPECT_THAT(message("int4-p0"), HasSubstr("percentile above 0"));
  EXPECT_THAT(message("int4-mse99"), HasSubstr("exponent 0.5 to 8"));
  EXPECT_THAT(message("int4-symm"), HasSubstr("unknown option \"-symm\" in \"int4-symm\"; options are -gN"));
  EXPECT_THAT(message("int4-asymm"), HasSubstr("did you mean 'asym'?"));
  EXPECT_THAT(message("int4-"), HasSubstr("unknown option \"-\""));
  EXPECT_THAT(message("int4-g32-row"), HasSubstr("\"-row\" in \"int4-g32-row\" repeats or contradicts"));
  EXPECT_THAT(message("int4-narrow-narrow"), HasSubstr("repeats"));
  EXPECT_THAT(message("e2m1-narrow"), HasSubstr("\"-narrow\" in \"e2m1-narrow\" is for integers, not for e2m1"));
  EXPECT_THAT(message("e2m1-asym"), HasSubstr("\"-asym\" in \"e2m1-asym\" is for full-range integers"));
  EXPECT_THAT(message("int4-asym-narrow"), HasSubstr("full-range"));
  EXPECT_THAT(message("int4-asym-e8m0"), HasSubstr("needs a scale in f32, f16 or bf16"));
  EXPECT_THAT(message("mxfp4-m1"), HasSubstr("a constraint"));
  EXPECT_THAT(message("int4-rceil"), HasSubstr("add -e8m0"));
  EXPECT_THAT(message("nf4-e8m0-even"), HasSubstr("a table has none"));
  EXPECT_THAT(message("mxfp4-sminnormal"), HasSubstr("two-level"));
  EXPECT_THAT(message("table[1;0]-g32"), HasSubstr("must ascend"));
  EXPECT_THAT(message("table[1;2"), HasSubstr("unknown format"));
}

TEST(QuantSpec, ChecksSpecsThatNobodyParsed) {
  QuantSpec spec;
  const auto message_of_spec = [&] {
    try {
      check_spec(spec, "made");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  spec.granularity = {Kind::kGroup, 0, 0};
  EXPECT_EQ(message_of_spec(), "\"made\": groups of 0 columns");
  spec.granularity = {Kind::kBlock, 4, 0};
  EXPECT_EQ(message_of_spec(), "\"made\": blocks of 0 rows");
}

TEST(QuantSpec, ShapesOfScales) {
  const auto shape = [](const char* text, int64_t rows, int64_t cols) {
    const ScaleShape s = scale_shape(parse_spec(text), rows, cols);
    return std::vector<int64_t>{s.rows, s.cols, s.group_rows, s.group_cols};
  };
  EXPECT_EQ(shape("int4-tensor", 5, 70), (std::vector<int64_t>{1, 1, 5, 70}));
  EXPECT_EQ(shape("int4-row", 5, 70), (std::vector<int64_t>{5, 1, 1, 70}));
  EXPECT_EQ(shape("int4-g32", 5, 70), (std::vector<int64_t>{5, 3, 1, 32}));
  EXPECT_EQ(shape("int4-g128", 5, 70), (std::vector<int64_t>{5, 1, 1, 70}));
  EXPECT_EQ(shape("int4-block2x64", 5, 70), (std::vector<int64_t>{3, 2, 2, 64}));
  EXPECT_EQ(shape("int4-block16x16", 5, 7), (std::vector<int64_t>{1, 1, 5, 7}));
  EXPECT_EQ(shape("int4-g32", 0, 0), (std::vector<int64_t>{0, 0, 1, 1}));
}

TEST(QuantSpec, NominalBits) {
  const auto bits = [](const char* text) { return nominal_bits(parse_spec(text), 1024, 4096); };
  EXPECT_DOUBLE_EQ(bits("int4-g128"), 4.125);
  EXPECT_DOUBLE_EQ(bits("int2-g128-asym"), 2 + 18.0 / 128);  // GPTQ's 2.14
  EXPECT_DOUBLE_EQ(bits("int3-g128-asym"), 3 + 19.0 / 128);  // 3.148
  EXPECT_DOUBLE_EQ(bits("int4-g128-asym"), 4 + 20.0 / 128);  // 4.156
  EXPECT_DOUBLE_EQ(bits("mxfp4"), 4.25);
  EXPECT_DOUBLE_EQ(bits("mxfp6e3m2"), 6.25);
  EXPECT_DOUBLE_EQ(bits("mxfp8e4m3"), 8.25);
  EXPECT_DOUBLE_EQ(bits("mxint8"), 8.25);
  EXPECT_DOUBLE_EQ(bits("nvfp4"), 4.5);
  EXPECT_DOUBLE_EQ(bits("int8-row"), 8 + 16.0 / 4096);
  EXPECT_DOUBLE_EQ(bits("int8-tensor-f32"), 8 + 32.0 / (1024 * 4096));
  EXPECT_DOUBLE_EQ(bits("e4m3fn-block128x128"), 8 + 16.0 / (128 * 128));
  EXPECT_DOUBLE_EQ(bits("table[-1;0;1]-g64"), 2.25);
}

}  // namespace
}  // namespace bitloom
