#include "round/target.h"

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
  return testing::message_of(ErrorKind::kUsage, [&] { parse_grid_target(text); });
}

TEST(GridTarget, ReadsShortNames) {
  const GridTarget target = parse_grid_target("int4-g128");
  EXPECT_EQ(target.storage.format, Format(IntFormat{4, false}));
  EXPECT_EQ(target.storage.granularity, (Granularity{Kind::kGroup, 128, 0}));
  EXPECT_EQ(target.storage.scale, ScaleType::kF16);
  EXPECT_FALSE(target.storage.asymmetric);

  EXPECT_TRUE(parse_grid_target("int3-g64-asym").storage.asymmetric);
  EXPECT_EQ(parse_grid_target("e3m2-row").storage.granularity.kind, Kind::kRow);
  EXPECT_EQ(parse_grid_target("int8").storage.granularity.kind, Kind::kRow);
  EXPECT_EQ(parse_grid_target("nf4-tensor").storage.granularity.kind, Kind::kTensor);
  EXPECT_EQ(parse_grid_target("e4m3fn-block64x128").storage.granularity, (Granularity{Kind::kBlock, 128, 64}));
  EXPECT_EQ(parse_grid_target("e5m2-ieee-g32").storage.format, Format(kE5M2Ieee));
  EXPECT_EQ(parse_grid_target("int4-narrow-g32"), parse_grid_target("int4-g32-narrow"));
  EXPECT_EQ(parse_grid_target("fp4-bnb-g64").storage.format, *find_format("fp4-bnb"));
  EXPECT_EQ(parse_grid_target("int4-mse3").search.range.clip_exponent, 3);
  EXPECT_EQ(parse_grid_target("int4-p99.5").search.range.percentile, 99.5);
  EXPECT_EQ(std::get<TableFormat>(parse_grid_target("table[-1;-1e-05;0;1]-g64").storage.format).levels[1], -1e-5f);
}

TEST(GridTarget, WideFormatsGetScalesInBf16) {
  EXPECT_EQ(parse_grid_target("e5m2-g32").storage.scale, ScaleType::kBF16);
  EXPECT_EQ(parse_grid_target("e5m2-g32-f16").storage.scale, ScaleType::kF16);
  EXPECT_EQ(parse_grid_target("e4m3-g32").storage.scale, ScaleType::kF16);
}

TEST(GridTarget, NamedSchemes) {
  const GridTarget mxfp4 = parse_grid_target("mxfp4");
  EXPECT_EQ(mxfp4.storage.format, Format(kE2M1));
  EXPECT_EQ(mxfp4.storage.granularity, (Granularity{Kind::kGroup, 32, 0}));
  EXPECT_EQ(mxfp4.storage.scale, ScaleType::kE8M0);
  EXPECT_EQ(mxfp4.search.mx_mode, MxMode::kFloor);
  EXPECT_EQ(parse_grid_target("mxfp4-rceil").search.mx_mode, MxMode::kRceil);
  EXPECT_EQ(parse_grid_target("e2m1-g32-e8m0"), mxfp4);
  EXPECT_EQ(to_string(parse_grid_target("e2m1-g32-e8m0-even")), "mxfp4-even");
  EXPECT_EQ(to_string(parse_grid_target("mxfp4-g16")), "e2m1-g16-e8m0");
  const GridTarget nvfp4 = parse_grid_target("nvfp4");
  EXPECT_EQ(nvfp4.storage.granularity.group, 16);
  EXPECT_EQ(nvfp4.storage.scale, ScaleType::kE4M3TwoLevel);
  EXPECT_EQ(parse_grid_target("mxint8").storage.format, Format(IntFormat{8, true, 6}));
  for (const std::string& name : named_schemes()) EXPECT_EQ(to_string(parse_grid_target(name)), name);
}

/// Every format with every option that it admits.
TEST(GridTarget, TextRoundTrips) {
  const char* const options[] = {"-row",       "-tensor",     "-g1",        "-g64",      "-block2x16",
                                 "-asym",      "-f32",        "-f16",       "-bf16",     "-e8m0",
                                 "-e8m0-ceil", "-e8m0-rceil", "-e8m0-even", "-e4m3x",    "-e4m3x-sminnormal",
                                 "-m1",        "-pow2round",  "-pow2floor", "-pow2mse",  "-m2ceil",
                                 "-m2round",   "-m2floor",    "-m2mse",     "-mse",      "-mse2",
                                 "-mse0.7",    "-p99.99",     "-p100",      "-tiesaway", "-tieszero"};
  const auto try_text = [](const std::string& text) {
    GridTarget target;
    try {
      target = parse_grid_target(text);
    } catch (const Error&) {
      return 0;
    }
    EXPECT_EQ(parse_grid_target(to_string(target)), target) << text << " -> " << to_string(target);
    EXPECT_EQ(to_string(parse_grid_target(to_string(target))), to_string(target));
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

TEST(GridTarget, CanonicalText) {
  EXPECT_EQ(to_string(parse_grid_target("int4")), "int4-row");
  EXPECT_EQ(to_string(parse_grid_target("int4-f16-g32")), "int4-g32");
  EXPECT_EQ(to_string(parse_grid_target("int4-mse2.4-asym-bf16-g32")), "int4-g32-asym-bf16-mse2.4");
  EXPECT_EQ(to_string(parse_grid_target("e5m2-bf16")), "e5m2-row");
  EXPECT_EQ(to_string(parse_grid_target("int4-p0.00001")), "int4-row-p0.00001");
  EXPECT_EQ(to_string(parse_grid_target("int4-p99.90")), "int4-row-p99.9");
  EXPECT_EQ(to_string(parse_grid_target("table[-1;0;1]-g64")), "table[-1;0;1]-g64");
  EXPECT_EQ(to_string(GridTarget{}), "int4-row");
}

TEST(GridTarget, MessagesNameThePartAndTheAllowedOnes) {
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

TEST(RoundingTarget, StorageAndSearchAreApart) {
  const RoundingTarget target = parse_target("mxfp4-mse-rceil-g16");
  EXPECT_EQ(to_string(target.storage), "e2m1-g16-e8m0");
  EXPECT_EQ(to_string(target.search), "-rceil-mse");
  EXPECT_EQ(to_string(target), "e2m1-g16-e8m0-rceil-mse");
  EXPECT_EQ(parse_target("int4-g128-mse").storage, parse_storage("int4-g128"));
  EXPECT_EQ(to_string(parse_target("codebook2.5-col").storage), "codebook2.5-col");
  EXPECT_EQ(to_string(parse_target("int4-g128-mse+lowrank8-int8")), "int4-g128-mse+lowrank8-int8-row");
}

TEST(RoundingTarget, SearchesAreForScales) {
  EXPECT_THAT(message("codebook3-col-mse"), HasSubstr("\"-mse\" searches scales, and this storage has none"));
  EXPECT_THAT(message("codebook3-col-asym"), HasSubstr("unknown option \"-asym\" in \"codebook3-col-asym\""));
  EXPECT_THAT(message("codebook3-col"), HasSubstr("is no scaled grid"));
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { parse_storage("int4-g128-mse"); }),
              HasSubstr("unknown option \"-mse\" in \"int4-g128-mse\"; options are -gN"));
}

TEST(GridTarget, ChecksSpecsThatNobodyParsed) {
  GridTarget target;
  const auto message_of_spec = [&] {
    try {
      check_target(target, "made");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  target.storage.granularity = {Kind::kGroup, 0, 0};
  EXPECT_EQ(message_of_spec(), "\"made\": groups of 0 columns");
  target.storage.granularity = {Kind::kBlock, 4, 0};
  EXPECT_EQ(message_of_spec(), "\"made\": blocks of 0 rows");
}

TEST(GridTarget, ShapesOfScales) {
  const auto shape = [](const char* text, int64_t rows, int64_t cols) {
    const ScaleShape s = scale_shape(parse_grid(text), rows, cols);
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

// A word that says the default is still a word about scales, which codebooks lack; it must not disturb the storage.
TEST(RoundingTarget, CodebooksTakeNoSearch) {
  EXPECT_EQ(to_string(parse_target("codebook4-g128")), "codebook4-g128");
  for (const char* text : {"codebook4-g128-floor", "codebook4-g128-mse", "codebook4-col-floor"}) {
    EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { parse_target(text); }),
                ::testing::HasSubstr("searches scales, and this storage has none"))
        << text;
  }
  for (const char* text : {"codebook4-g0", "codebook4-gx", "codebook4-g8-row", "codebook4-row-row"}) {
    EXPECT_THROW(parse_target(text), Error) << text;
  }
}

TEST(GridTarget, NominalBits) {
  const auto bits = [](const char* text) { return nominal_bits(parse_grid(text), 1024, 4096); };
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