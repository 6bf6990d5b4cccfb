#include <gtest/gtest.h>

#include "calibration/samples.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::message_of;

TEST(SamplingRule, SpellsItself) {
  for (const char* text : {"gptq", "packed", "rows"}) EXPECT_EQ(to_string(parse_sampling_rule(text)), text);
  EXPECT_EQ(message_of(ErrorKind::kUsage, [] { parse_sampling_rule("pakced"); }),
            "unknown sampling rule 'pakced' (did you mean 'packed'?), allowed: gptq, packed, rows");
  EXPECT_EQ(message_of(ErrorKind::kUsage, [] { parse_sampling_rule(""); }),
            "unknown sampling rule '', allowed: gptq, packed, rows");
}

TEST(CalibrationFormat, SpellsItself) {
  for (const char* text : {"plain", "hf-rows", "jsonl:text", "tokens"})
    EXPECT_EQ(to_string(parse_calibration_format(text)), text);
  EXPECT_EQ(
      message_of(ErrorKind::kUsage, [] { parse_calibration_format("token"); }),
      "unknown calibration format 'token' (did you mean 'tokens'?), allowed: plain, hf-rows, jsonl:FIELD, tokens");
}

}  // namespace
}  // namespace bitloom
