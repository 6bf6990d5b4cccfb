#include "format/activation_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

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

TEST(ActivationFormat, SaysWhatIsWrong) {
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("unknown option \"-tokens\" in the activation format \"int8-tokens\""));
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("-token -tensor -gN"));
  EXPECT_THAT(misused("int8-tokens"), HasSubstr("did you mean 'token'?"));
  for (const std::string part : {"g", "g0", "gx", "128", "", "row", "narrow"}) {
    EXPECT_THAT(misused("int8-" + part), HasSubstr("options are -token")) << part;
  }
  EXPECT_THAT(misused("int8"), HasSubstr("\"int8\" does not say who shares a scale"));
  EXPECT_THAT(misused("table[-1;0;1]"), HasSubstr("does not say who shares a scale"));
  EXPECT_THAT(misused("int9-token"), HasSubstr("unknown format \"int9\" in the activation format \"int9-token\""));
  EXPECT_THAT(misused(""), HasSubstr("unknown format \"\""));
}

}  // namespace
}  // namespace bitloom
