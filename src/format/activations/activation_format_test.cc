#include "format/activations/activation_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/hadamard/kronecker_hadamard.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

TEST(ActivationFormat, ReadsWhatItWrites) {
  for (const std::string text : {"int8-token", "int8-tensor", "int8-g128", "int4-g1", "int8-narrow-token",
                                 "e4m3fn-token", "e5m2-ieee-tensor", "nf4-g64", "table[-1;-0.5;0;2]-token"}) {
    EXPECT_EQ(to_string(parse_activation_format(text)), text);
  }
  for (const std::string& format : format_names()) {
    EXPECT_EQ(to_string(parse_activation_format(format + "-g32")), name_of(*find_format(format)) + "-g32");
  }
  const ActivationFormat groups = parse_activation_format("int8-g128");
  EXPECT_EQ(groups.granularity, ActivationFormat::Granularity::kGroup);
  EXPECT_EQ(groups.group, 128);
  EXPECT_EQ(groups.format, Format(IntFormat{8, false}));
}

std::string misused(const std::string& text) {
  try {
    parse_activation_format(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  ADD_FAILURE() << text << " was read";
  return "";
}

TEST(ActivationFormat, ReadsBlocksZeroPointsAndRanges) {
  for (const std::string text : {"int8-asym-token",
                                 "int4-asym-g32",
                                 "int8-asym-tensor",
                                 "mxfp4",
                                 "mxfp6e2m3",
                                 "mxfp8e4m3-rceil",
                                 "mxint8-even",
                                 "nvfp4",
                                 "e2m1-g16-e8m0-ceil",
                                 "e3m2-g64-e4m3x",
                                 "int8-tensor-absmax",
                                 "int8-tensor-p99.9",
                                 "e4m3fn-tensor-mse",
                                 "int8-asym-tensor-kl",
                                 "nvfp4-absmax",
                                 "nvfp4-at[2688]",
                                 "int8-tensor-at[3.25]",
                                 "int8-tensor-at[1e-20]",
                                 "int8-asym-tensor-at[-0.5;3.25]",
                                 "table[-1;-0.5;0;2]-tensor-at[4]",
                                 "e2m1-tensor-output",
                                 "e3m0-tensor-joint-shift",
                                 "e5m2-tensor-at[7]-shift[0v3]",
                                 "int4-token-had512",
                                 "mxfp4-had32-seed7",
                                 "int4-token-clip0.9-hadfull",
                                 "int4-asym-g32-clip0.95",
                                 "int8-asym-tensor-at[-0.5;3.25]-had4096"}) {
    EXPECT_EQ(to_string(parse_activation_format(text)), text);
  }
  // A scheme is a name for its parts.
  EXPECT_EQ(parse_activation_format("mxfp4"), parse_activation_format("e2m1-g32-e8m0"));
  EXPECT_EQ(parse_activation_format("nvfp4"), parse_activation_format("e2m1-e4m3x-g16"));
  EXPECT_EQ(to_string(parse_activation_format("int8-p99.9-tensor")), "int8-tensor-p99.9");
  const ActivationFormat fixed = parse_activation_format("int8-asym-tensor-at[-0.5;3.25]");
  EXPECT_EQ(fixed.range.low, -0.5f);
  EXPECT_EQ(fixed.range.high, 3.25f);
  EXPECT_EQ(parse_activation_format("int8-tensor-at[3.25]").range.low, -3.25f);
  EXPECT_FALSE(fixed.range.is_calibrated());
  EXPECT_TRUE(parse_activation_format("int8-tensor-kl").range.is_calibrated());
  EXPECT_EQ(kind_text(fixed), "int8-asym-tensor-at[...]");
}

TEST(ActivationFormat, Rotations) {
  const ActivationFormat rotated = parse_activation_format("int4-seed3-had64-token");
  EXPECT_EQ(rotated.rotation, 64);
  EXPECT_EQ(rotated.seed, 3u);
  EXPECT_THAT(misused("int4-token-had48"), HasSubstr("should be -hadN (a power of two from 2 to 4096, or full)"));
  EXPECT_EQ(parse_activation_format("int4-token-hadfull").rotation, kWholeWidth);
  EXPECT_THAT(misused("int4-token-had1"), HasSubstr("a power of two from 2 to 4096"));
  EXPECT_THAT(misused("int4-token-had8192"), HasSubstr("a power of two from 2 to 4096"));
  EXPECT_THAT(misused("int4-token-had64-had32"), HasSubstr("repeats or contradicts"));
  EXPECT_THAT(misused("int4-token-seed3"), HasSubstr("-seedS is that of a rotation"));
  EXPECT_THAT(misused("int4-tensor-mse-had64"), HasSubstr("ranges are found in values that are not rotated"));
}

TEST(ActivationFormat, ClippedRanges) {
  EXPECT_EQ(parse_activation_format("int4-clip0.9-token").clip, 0.9f);
  EXPECT_EQ(to_string(parse_activation_format("int4-token-clip1")), "int4-token");
  EXPECT_NE(parse_activation_format("int4-token-clip0.9"), parse_activation_format("int4-token"));
  for (const char* text : {"int4-token-clip", "int4-token-clip0", "int4-token-clip1.5", "int4-token-clipx"}) {
    EXPECT_THAT(misused(text), HasSubstr("should be -clipR (from 0.1 to 1)")) << text;
  }
  for (const char* text : {"int8-tensor-absmax-clip0.9", "int8-tensor-at[2]-clip0.9", "mxfp4-clip0.9"}) {
    EXPECT_THAT(misused(text), HasSubstr("-clipR is of ranges that are those of the very values")) << text;
  }
}

TEST(ActivationFormat, RangesComeAndGo) {
  const auto text = [](const char* rule, float low, float high) {
    return to_string(with_fixed_range(parse_activation_format(rule), low, high));
  };
  EXPECT_EQ(text("int8-tensor-mse", -1, 3.25f), "int8-tensor-at[3.25]");
  EXPECT_EQ(text("int8-asym-tensor-mse", -1, 3.25f), "int8-asym-tensor-at[-1;3.25]");
  // Every float comes back.
  EXPECT_EQ(parse_activation_format(text("int8-tensor-kl", 0, 0.1f)).range.high, 0.1f);
  EXPECT_EQ(to_string(with_dynamic_range(parse_activation_format("int8-tensor-mse"))), "int8-token");
  EXPECT_EQ(to_string(with_dynamic_range(parse_activation_format("nvfp4-at[3]"))), "nvfp4");
}

TEST(ActivationFormat, WhatMayComeOfARule) {
  const auto may = [](const char* rule, const char* found) {
    return may_come_of(parse_activation_format(rule), parse_activation_format(found));
  };
  EXPECT_TRUE(may("int8-tensor-mse", "int8-tensor-at[3]"));
  EXPECT_FALSE(may("int8-tensor-mse", "int4-tensor-at[3]"));
  EXPECT_FALSE(may("int8-tensor-mse", "int8-tensor-kl"));
  EXPECT_FALSE(may("e2m1-tensor-output", "e3m0-tensor-at[3]"));
  EXPECT_TRUE(may("e2m1-tensor-joint-shift", "e3m0-tensor-at[3]-shift[07]"));
  EXPECT_FALSE(may("e2m1-tensor-joint", "e3m1-tensor-at[3]"));
}

TEST(ActivationFormat, ShiftsAreDigits) {
  const ActivationFormat format = parse_activation_format("e3m0-tensor-at[3]-shift[0172]");
  EXPECT_EQ(format.shifts, (std::vector<uint8_t>{0, 1, 7, 2}));
  EXPECT_EQ(kind_text(format), "e3m0-tensor-at[...]-shift[...]");
  EXPECT_EQ(to_string(with_dynamic_range(format)), "e3m0-token");
  EXPECT_TRUE(parse_activation_format("e3m0-tensor-output").range.is_calibrated());
}

TEST(ActivationFormat, SaysWhatHasNoShifts) {
  for (const std::string text : {"int8-tensor-output", "nf4-tensor-joint", "int4-tensor-at[3]-shift[01]"}) {
    EXPECT_THAT(misused(text), HasSubstr("-output, -joint and -shift are of formats with exponent bits (eXmY)"))
        << text;
  }
  EXPECT_THAT(misused("e0m3-tensor-joint"), HasSubstr("'e0m3' has no exponent bits"));
  EXPECT_THAT(misused("e4m3fn-tensor-joint"), HasSubstr("formats that reserve no codes, such as e4m3"));
  EXPECT_THAT(misused("e2m1-token-output"), HasSubstr("a range found beforehand is one for all tokens"));
  for (const std::string text : {"e2m1-tensor-absmax-shift", "e2m1-token-shift", "e2m1-tensor-at[3]-shift",
                                 "e2m1-tensor-output-shift[01]", "e2m1-token-shift[01]"}) {
    EXPECT_THAT(misused(text), HasSubstr("-shift is found with -output or -joint, and given as -shift[DIGITS]"))
        << text;
  }
  EXPECT_THAT(misused("e2m1-tensor-at[3]-shift[041]"), HasSubstr("a shift of 4; e2m1 goes up to 3"));
  EXPECT_THAT(misused("e2m1-tensor-at[3]-shift[0w]"), HasSubstr("should be -shift or shift[DIGITS]"));
  EXPECT_THAT(misused("e2m1-tensor-at[0]"), HasSubstr("a positive normal number is needed"));
  EXPECT_THAT(misused("e3m0-tensor-at[3]-shift[01]-had8"), HasSubstr("which -had mixes"));
}

TEST(ActivationFormat, ReassembledChannels) {
  const std::string text = "int4-asym-token-reassembled[12>7=3;40>7=3]";
  const ActivationFormat format = parse_activation_format(text);
  EXPECT_EQ(format.moves, (ChannelMoves{{12, 7, 3}, {40, 7, 3}}));
  EXPECT_EQ(to_string(format), text);
  EXPECT_EQ(kind_text(format), "int4-asym-token");
  EXPECT_NE(format, parse_activation_format("int4-asym-token"));
  // What stands in other brackets is none of the range's.
  for (const std::string range : {"int4-tensor-at[2]", "int4-asym-tensor-at[-1;2]"}) {
    for (const std::string moves : {"[1>0=2]", "[1>0=2;4>0=2]"}) {
      const std::string both = range + "-reassembled" + moves;
      EXPECT_EQ(to_string(parse_activation_format(both)), both);
    }
  }
  EXPECT_THAT(misused("int4-asym-tensor-at[2]-reassembled[1>0=2;4>0=2]"), HasSubstr("a range is at[LOW;HIGH] with"));
  for (const char* part : {"", "[]", "[1>0]", "[1>0=2", "[1>0=x]"}) {
    EXPECT_THAT(misused(std::string("int4-token-reassembled") + part), HasSubstr("should be -reassembled[MOVES]"))
        << part;
  }
  EXPECT_THAT(misused("int4-token-reassembled[1>0=1]"), HasSubstr("channel 1 is to be two of freed, joined and split"));
  for (const char* base : {"int4-tensor-absmax", "int4-token-had64", "e2m1-tensor-at[3]-shift[01]"}) {
    EXPECT_THAT(misused(std::string(base) + "-reassembled[1>0=2]"), HasSubstr("without -had and -shift")) << base;
  }
}

TEST(ActivationFormat, StaggeredParts) {
  const std::string text = "int4-asym-token-staggered[12>7=3;40>7=3]";
  const ActivationFormat format = parse_activation_format(text);
  EXPECT_EQ(format.moves, (ChannelMoves{{12, 7, 3}, {40, 7, 3}}));
  EXPECT_TRUE(format.staggered);
  EXPECT_EQ(to_string(format), text);
  EXPECT_EQ(kind_text(format), "int4-asym-token");
  EXPECT_NE(format, parse_activation_format("int4-asym-token-reassembled[12>7=3;40>7=3]"));
  EXPECT_THAT(misused("e2m1-token-staggered[1>0=2]"), HasSubstr("-staggered is of integers"));
  EXPECT_THAT(misused("int4-token-staggered[1>0]"), HasSubstr("should be -staggered[MOVES]"));
  EXPECT_THAT(misused("int4-token-staggered[1>0=1]"), HasSubstr("channel 1 is to be two of freed, joined and split"));
  EXPECT_THAT(misused("int4-token-staggered[1>0=2]-reassembled[1>0=2]"), HasSubstr("-reassembled[1>0=2]"));
}

TEST(ActivationFormat, ScalesOfRanges) {
  const auto scale = [](const char* text, float low, float high) {
    return scale_of_range(parse_activation_format(text), low, high);
  };
  EXPECT_EQ(scale("int8-tensor", -127, 127).step, 1);
  EXPECT_EQ(scale("e4m3fn-tensor", -448, 448).step, 1);
  EXPECT_EQ(scale("nvfp4", -2688, 2688).step, 1);
  EXPECT_EQ(scale("int4-asym-tensor", -5, 10).step, 1);
  EXPECT_EQ(scale("int4-asym-tensor", -5, 10).zero, 5);
  EXPECT_EQ(scale("int8-asym-tensor", -510, 0).zero, 255);
  // Their difference has no fp32.
  EXPECT_TRUE(std::isfinite(scale("int8-asym-tensor", -3e38f, 3e38f).step));
}

TEST(ActivationFormat, SaysWhatIsWrong) {
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("unknown option \"-tokens\" in the activation format \"int8-tokens\""));
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("options are -token -tensor -asym -e8m0"));
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("did you mean 'token'?"));
  for (const std::string part : {"128", "", "row", "narrow"}) {
    EXPECT_THAT(misused("int8-" + part), HasSubstr("options are -token")) << part;
  }
  for (const std::string part : {"g", "g0", "gx"}) {
    EXPECT_THAT(misused("int8-" + part), HasSubstr("should be -gN (a positive integer)")) << part;
  }
  EXPECT_THAT(misused("int8-token-tensor"), HasSubstr("contradicts"));
  EXPECT_THAT(misused("mxfp4-g16"), HasSubstr("contradicts"));
  EXPECT_THAT(misused("mxfp5"), HasSubstr("the schemes mxfp4"));
  EXPECT_THAT(misused("e0m3-token"), HasSubstr("'e0m3' has no exponent bits"));
  EXPECT_THAT(misused("int8"), HasSubstr("\"int8\" does not say who shares a scale"));
  EXPECT_THAT(misused("table[-1;0;1]"), HasSubstr("does not say who shares a scale"));
  EXPECT_THAT(misused("int9-token"), HasSubstr("unknown format \"int9\" in the activation format \"int9-token\""));
  EXPECT_THAT(misused(""), HasSubstr("unknown format \"\""));
}

TEST(ActivationFormat, SaysWhatMeansNothing) {
  for (const std::string text : {"e4m3fn-asym-token", "int8-narrow-asym-token", "nf4-asym-g32", "int8-asym-g32-e8m0"}) {
    EXPECT_THAT(misused(text), HasSubstr("is for full-range integers")) << text;
  }
  EXPECT_THAT(misused("int8-token-e8m0"), HasSubstr("are of groups"));
  EXPECT_THAT(misused("e2m1-tensor-e4m3x"), HasSubstr("are of groups"));
  EXPECT_THAT(misused("int8-g32-rceil"), HasSubstr("about scales in e8m0"));
  for (const std::string text : {"int8-token-mse", "int8-g32-absmax", "mxfp4-kl", "int8-token-at[2]"}) {
    EXPECT_THAT(misused(text), HasSubstr("one for all tokens")) << text;
  }
  EXPECT_THAT(misused("nvfp4-mse"), HasSubstr("found by -absmax or -pP"));
  EXPECT_THAT(misused("int8-tensor-at[0]"), HasSubstr("has the scale 0; a positive normal number is needed"));
  EXPECT_THAT(misused("nvfp4-at[0]"), HasSubstr("has the scale 0"));
  EXPECT_THAT(misused("int8-asym-tensor-at[0;0]"), HasSubstr("has the scale 0"));
  EXPECT_THAT(misused("int8-tensor-at[1e-37]"), HasSubstr("a positive normal number"));
  EXPECT_THAT(misused("int8q7-tensor-at[3.4e38]"), HasSubstr("has the scale inf; a positive normal number"));
  EXPECT_THAT(misused("int8-tensor-at[-2]"), HasSubstr("does not hold 0"));
  EXPECT_THAT(misused("int8-asym-tensor-at[1;2]"), HasSubstr("from 1 to 2 does not hold 0"));
  EXPECT_THAT(misused("int8-asym-tensor-at[2]"), HasSubstr("at[LOW;HIGH] with -asym"));
  EXPECT_THAT(misused("int8-tensor-at[-2;2]"), HasSubstr("at[HIGH] without"));
  for (const std::string range :
       {"at", "at2", "at[]", "at[x]", "at[inf]", "at[nan]", "at[1;2;3]", "p", "p50", "p101"}) {
    EXPECT_THAT(misused("int8-tensor-" + range), HasSubstr("should be -")) << range;
  }
}

}  // namespace
}  // namespace bitloom
