#include "model/rope/rope_config.h"

#include <cmath>

#include "base/test_data.h"
#include "model/test_names.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::llama_config;
using testing::NameSet;
using testing::refusal;
using testing::with;

Graph build(const Json& config) { return build_graph(config, "config.json", NameSet()); }

// Both sides round every step to fp32. theta^e by torch's vectorised pow is within 1 ulp of the correctly rounded value
// that we take; at most six more roundings of half an ulp follow (llama3's smoothing, where the sum of two terms of the
// same sign does not amplify): 4 ulp, and an ulp is at most 2^-23 of the value. Smoothing multiplies the error of
// L / wavelength by at most high / (high - low) = 4/3.
constexpr double kTolerance = 6 * 0x1p-23;

TEST(RopeConfig, AgreesWithTransformers) {
  const Json cases = read_json(testing::golden("model/rope.json"));
  ASSERT_GE(cases.size(), 20u);
  for (const Json& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const Graph graph = build(item["config"]);
    ASSERT_EQ(graph.ropes.size(), item["ropes"].size());
    for (size_t r = 0; r < graph.ropes.size(); ++r) {
      const auto expected = item["ropes"][r]["inv_freq"].get<std::vector<double>>();
      const Rope& rope = graph.ropes[r];
      EXPECT_NEAR(rope.attention_factor, item["ropes"][r]["attention_factor"].get<double>(), 1e-12);
      ASSERT_EQ(rope.inv_freq.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LE(std::abs(rope.inv_freq[i] - expected[i]), kTolerance * expected[i]) << "pair " << i;
      }
    }
  }
}

TEST(RopeConfig, LongropeHasOtherFrequenciesBeyondTheOriginalLength) {
  const Json cases = read_json(testing::golden("model/rope.json"));
  for (const Json& item : cases) {
    const std::string name = item["name"];
    const bool dynamic = name == "llama dynamic";
    const bool longrope = name == "phi3 su" || name == "phi3 longrope, partial" || name == "llama longrope";
    const Rope rope = build(item["config"]).ropes[0];
    EXPECT_EQ(rope.max_length, longrope ? 4096 : dynamic ? 2048 : 0) << name;
    const auto expected = item.value("long_inv_freq", Json::array()).get<std::vector<double>>();
    EXPECT_EQ(expected.empty(), !longrope) << name;
    ASSERT_EQ(rope.long_inv_freq.size(), expected.size()) << name;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LE(std::abs(rope.long_inv_freq[i] - expected[i]), kTolerance * expected[i]) << name << ", pair " << i;
    }
  }
}

TEST(RopeConfig, EqualLongropeListsHoldForAnyLength) {
  const Json scaling = {{"rope_type", "longrope"},
                        {"short_factor", {1.0, 2.0, 3.0, 4.0}},
                        {"long_factor", {1.0, 2.0, 3.0, 4.0}},
                        {"factor", 1.0}};
  const Rope rope = build(with(llama_config(), "rope_scaling", scaling)).ropes[0];
  EXPECT_EQ(rope.max_length, 0);
  EXPECT_EQ(rope.attention_factor, 1.0);
  EXPECT_FLOAT_EQ(static_cast<float>(rope.inv_freq[1]), 0.05f);  // 10000^(-2/8) / 2
}

std::string scaling_refusal(const Json& scaling) {
  return refusal([&] { build(with(llama_config(), "rope_scaling", scaling)); });
}

TEST(RopeConfig, RefusesWhatItCannotDo) {
  EXPECT_THAT(scaling_refusal({{"type", "ntk"}, {"factor", 2.0}}),
              HasSubstr("config.json: 'rope_scaling.type' is \"ntk\", supported: default, linear, llama3, yarn, "
                        "longrope, dynamic"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "linear"}}),
              HasSubstr("config.json: key 'rope_scaling.factor' is missing"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "linear"}, {"factor", "2"}}),
              HasSubstr("'rope_scaling.factor' is \"2\", expected a number"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "linear"}, {"factor", 0}}),
              HasSubstr("'rope_scaling.factor' is 0, expected a number > 0"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "default"}, {"mrope_section", {1, 1, 2}}}),
              HasSubstr("'rope_scaling.mrope_section' is [1,1,2], multimodal rotary positions are not supported"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {1.0}}}),
              HasSubstr("'rope_scaling.short_factor' is [1.0], expected a list of 4 numbers"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}),
              HasSubstr("'rope_scaling.partial_rotary_factor' is 0.5, but this architecture rotates whole heads"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "llama3"},
                               {"factor", 8.0},
                               {"low_freq_factor", 4.0},
                               {"high_freq_factor", 4.0},
                               {"original_max_position_embeddings", 32}}),
              HasSubstr("'rope_scaling.high_freq_factor' is 4.0, must be above low_freq_factor = 4"));
  EXPECT_THAT(scaling_refusal({{"full_attention", Json::object()}}),
              HasSubstr("'rope_scaling' is given per layer type ('full_attention')"));
  EXPECT_THAT(scaling_refusal("yarn"), HasSubstr("'rope_scaling' is \"yarn\", expected an object"));
}

TEST(RopeConfig, Phi3HasOneScaling) {
  Json config = llama_config();
  config["model_type"] = "phi3";
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2.0}};
  EXPECT_THAT(refusal([&] { build(config); }),
              HasSubstr("'rope_scaling.rope_type' is \"linear\", supported: default, longrope"));
}

TEST(RopeConfig, RefusesOddHeads) {
  Json config = llama_config();
  config["head_dim"] = 7;
  EXPECT_THAT(refusal([&] { build(config); }), HasSubstr("rotary embedding of 7 channels does not fit heads of 7"));
}

TEST(RopeConfig, RefusesNumbersThatAreNotFinite) {
  const auto refused = [](const std::string& value) {
    const std::string text = R"({"rope_type": "longrope", "attention_factor": )" + value +
                             R"(, "short_factor": [1, 1, 1, 1], "long_factor": [1, 1, 1, 2]})";
    return scaling_refusal(parse_json(text, "config.json"));
  };
  EXPECT_THAT(refused("NaN"), HasSubstr("'rope_scaling.attention_factor' is NaN, expected a number"));
  EXPECT_THAT(refused("-Infinity"), HasSubstr("'rope_scaling.attention_factor' is -Infinity, expected a number"));
  EXPECT_THAT(scaling_refusal({{"rope_type", "longrope"}, {"short_factor", {1.0, HUGE_VAL, 1.0, 1.0}}}),
              HasSubstr("expected a list of numbers"));
}

TEST(RopeConfig, RefusesFrequenciesThatAreNotFinite) {
  // The factor is 0 in fp32.
  EXPECT_THAT(scaling_refusal({{"rope_type", "linear"}, {"factor", 1e-60}}), HasSubstr("not finite"));
}

}  // namespace
}  // namespace bitloom
