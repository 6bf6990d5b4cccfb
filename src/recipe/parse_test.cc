#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_data.h"
#include "recipe/random_recipe.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kExample = R"(version: 1
name: example
description: "a mixture: three steps"
source: Somebody et al., 2023
steps:
  - quantize: int4-g128
    rounding: nearest
    targets: ["*"]
  - keep: ["*.down_proj.weight"]
  - quantize: int8-row
    targets: [embedding, head]
)";

/// The message that parsing `yaml` as "r.yaml" is refused with, which must be a usage error.
std::string refusal(const std::string& yaml) {
  return testing::message_of(ErrorKind::kUsage, [&] { parse_recipe(yaml, "r.yaml"); });
}

TEST(ParseRecipe, ReadsEveryKey) {
  const Recipe recipe = parse_recipe(kExample, "somewhere/file.yaml");
  EXPECT_EQ(recipe.name, "example");
  EXPECT_EQ(recipe.description, "a mixture: three steps");
  EXPECT_EQ(recipe.source, "Somebody et al., 2023");
  ASSERT_EQ(recipe.steps.size(), 3u);
  EXPECT_EQ(recipe.steps[0].quantize, parse_target("int4-g128"));
  EXPECT_THAT(recipe.steps[0].targets, ElementsAre("*"));
  EXPECT_FALSE(recipe.steps[1].quantize);
  EXPECT_THAT(recipe.steps[1].targets, ElementsAre("*.down_proj.weight"));
  EXPECT_EQ(recipe.steps[2].quantize, parse_target("int8-row"));
  EXPECT_THAT(recipe.steps[2].targets, ElementsAre("embedding", "head"));
}

TEST(ParseRecipe, FillsInWhatIsLeftOut) {
  const Recipe recipe = parse_recipe("steps: [{quantize: mxfp4}, {keep: down}]", "dir/my-mix.yaml");
  EXPECT_EQ(recipe.name, "my-mix");
  EXPECT_EQ(recipe.steps[0].rounding, Rounding{});
  EXPECT_TRUE(recipe.steps[0].targets.empty());
  EXPECT_THAT(recipe.steps[1].targets, ElementsAre("down"));
}

TEST(ParseRecipe, StepsOfNoneAreNone) {
  const Recipe recipe = parse_recipe(
      "steps:\n - transform: none\n - quantize: int4-row\n - quantize: none\n   rounding: gptq\n   targets: [head]\n",
      "r.yaml");
  ASSERT_EQ(recipe.steps.size(), 1u);
  EXPECT_EQ(to_short(recipe.steps[0]), "int4-row");
}

TEST(ParseRecipe, NamesPlaceSpellingAndAllowedKeys) {
  EXPECT_EQ(refusal("name: x\nsteps:\n  - quantise: int4-g128\n"),
            "r.yaml:3:5: unknown key 'quantise' in step 1 (did you mean 'quantize'?); allowed: transform, "
            "quantize, keep, attention, rounding, activations, targets");
  EXPECT_THAT(refusal("name: x\nstep:\n  - quantize: int4\n"),
              AllOf(StartsWith("r.yaml:2:1: unknown key 'step' in the recipe (did you mean 'steps'?)"),
                    HasSubstr("allowed: version, name, description, source, options, steps")));
  EXPECT_THAT(refusal("steps:\n - quantize: int4-g128\n   rounding: nearst\n"),
              StartsWith("r.yaml:3:14: step 1: unknown rounding 'nearst' (did you mean 'nearest'?); "
                         "allowed: nearest, gptq, "));
  EXPECT_THAT(refusal("steps:\n - keep: q\n - quantize: itn4-g128\n"),
              AllOf(StartsWith("r.yaml:3:14: step 2: "), HasSubstr("itn4")));
}

TEST(ParseRecipe, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusal("name: x\n"), HasSubstr("the key 'steps' is missing"));
  EXPECT_THAT(refusal("steps: []\n"), HasSubstr("'steps' must be a list of at least one step"));
  EXPECT_THAT(refusal("steps: int4\n"), HasSubstr("'steps' must be a list of at least one step"));
  EXPECT_THAT(refusal("steps: [int4]\n"), HasSubstr("step 1 must be a map with the keys transform, quantize, keep"));
  EXPECT_THAT(refusal("steps: [{targets: q}]\n"),
              HasSubstr("one of the keys 'quantize', 'attention', 'keep' and 'transform'"));
  EXPECT_THAT(refusal("steps: [{quantize: int4, keep: q}]\n"),
              HasSubstr("one of the keys 'quantize', 'attention', 'keep' and 'transform'"));
  EXPECT_THAT(refusal("steps: [{keep: q, targets: k}]\n"), HasSubstr("'keep' takes its patterns itself"));
  EXPECT_THAT(refusal("steps: [{keep: []}]\n"), HasSubstr("'keep' holds no pattern"));
  EXPECT_THAT(refusal("steps: [{keep: ['']}]\n"), HasSubstr("'keep' holds no pattern, or an empty one"));
  EXPECT_THAT(refusal("steps: [{keep: {a: b}}]\n"), HasSubstr("'keep' must be a list of patterns, found a map"));
  EXPECT_THAT(refusal("steps: [{quantize: [int4]}]\n"), HasSubstr("'quantize' of step 1 must be a text, found a list"));
  EXPECT_THAT(refusal("steps: [{keep: q}]\nname: [a]\n"), StartsWith("r.yaml:2:7: 'name' must be a text"));
  EXPECT_THAT(refusal("steps: [{keep: q}]\nname: a\nname: b\n"), StartsWith("r.yaml:3:1: key 'name' is given twice"));
  EXPECT_THAT(refusal("steps: [{keep: q}]\nversion: 2\n"),
              StartsWith("r.yaml:2:10: recipe version '2' is not supported; this program reads version 1"));
}

Recipe recipe_of(const std::string& steps) { return parse_recipe("steps: [" + steps + "]", "r.yaml"); }

TEST(ParseRecipe, ReadsRoundings) {
  const auto rounding = [](const std::string& text) {
    return recipe_of("{quantize: int4-g128, rounding: " + text + "}").steps[0].rounding;
  };
  EXPECT_EQ(rounding("nearest"), Rounding{});
  EXPECT_EQ(rounding("{nearest: {}}"), Rounding{});
  EXPECT_EQ(rounding("gptq"), Rounding(GptqRounding{}));
  EXPECT_EQ(rounding("gptaq"), Rounding(GptqRounding{.correction = 0.25}));
  EXPECT_EQ(rounding("{gptaq: {damping: 0.5}}"), Rounding(GptqRounding{.damping = 0.5, .correction = 0.25}));
  EXPECT_EQ(rounding("{gptq: {order: act-order, damping: 0.05, static-groups: true, correction: 0.25}}"),
            Rounding(GptqRounding{0.05, ColumnOrder::kActivation, true, 0.25}));
  EXPECT_EQ(rounding("{adaround: {iterations: 500}}"), Rounding(AdaRounding{.iterations = 500}));
}

TEST(ParseRecipe, ReadsActivations) {
  const Recipe recipe = parse_recipe("steps: [{quantize: int4, activations: int8-token}]", "r");
  EXPECT_EQ(recipe.steps[0].activations, parse_activation_format("int8-token"));
  EXPECT_EQ(parse_recipe(to_yaml(recipe), "r"), recipe);
  EXPECT_EQ(parse_recipe(to_json(recipe).dump(), "r").steps, recipe.steps);
  EXPECT_THAT(refusal("steps: [{quantize: int4, activations: int9-token}]"), HasSubstr("r.yaml:1:39: step 1: "));
  EXPECT_THAT(refusal("steps: [{keep: q, activations: int8-token}]"), HasSubstr("'keep' takes its patterns itself"));
  EXPECT_THAT(refusal("steps: [{transform: awq, activations: int8-token}]"),
              HasSubstr("step 1: 'activations' goes with 'quantize'"));
}

TEST(ParseRecipe, ReadsWhatAttentionMultiplies) {
  const Recipe recipe =
      parse_recipe("steps: [{quantize: int4-row}, {attention: int4-asym-token, targets: [keys, values]}]", "r");
  EXPECT_EQ(recipe.steps[1].attention, parse_activation_format("int4-asym-token"));
  EXPECT_FALSE(recipe.steps[1].keeps());
  EXPECT_EQ(parse_recipe(to_yaml(recipe), "r"), recipe);
  EXPECT_EQ(to_json(recipe)["steps"][1], (Json{{"attention", "int4-asym-token"}, {"targets", {"keys", "values"}}}));
  EXPECT_EQ(parse_recipe("steps: [{quantize: int4-row}, {attention: none, targets: keys}]", "r").steps.size(), 1u);
  const auto refused = [](const std::string& step) {
    return testing::message_of(ErrorKind::kUsage, [&] { parse_recipe("steps: [" + step + "]", "r"); });
  };
  EXPECT_THAT(refused("{attention: int4-token}"), HasSubstr("targets"));
  EXPECT_THAT(refused("{attention: int4-token, targets: keys, activations: int8-token}"),
              HasSubstr("'activations' goes with 'quantize'"));
  EXPECT_THAT(refused("{attention: int4-token, quantize: int4-row, targets: keys}"),
              HasSubstr("must have one of the keys 'quantize', 'attention', 'keep' and 'transform'"));
  EXPECT_THAT(refused("{attention: int9-token, targets: keys}"), HasSubstr("int9"));
}

TEST(ParseRecipe, ReadsTransforms) {
  const Recipe recipe = recipe_of(
      "{transform: hadamard}, {transform: {smoothquant: {alpha: 0.75}}, targets: [mlp]}, {quantize: int8-row}, "
      "{transform: {bias-correction: {}}}");
  EXPECT_EQ(recipe.steps[0].transform, Transform(HadamardTransform{}));
  EXPECT_EQ(recipe.steps[1].transform, Transform(SmoothTransform{0.75}));
  EXPECT_THAT(recipe.steps[1].targets, ElementsAre("mlp"));
  EXPECT_FALSE(recipe.steps[1].quantize || recipe.steps[1].keeps());
  EXPECT_EQ(recipe.steps[3].transform, Transform(BiasCorrectionTransform{}));
  EXPECT_EQ(recipe_of("{transform: {hadamard: {residual: true, heads: false}}}").steps[0].transform,
            Transform(HadamardTransform{true, false}));
}

TEST(ParseRecipe, NamesThePlaceOfABadPart) {
  EXPECT_THAT(refusal("steps:\n - quantize: int4\n   rounding: {gtpq: {}}\n"),
              StartsWith("r.yaml:3:15: step 1: unknown rounding 'gtpq' (did you mean 'gptq'?); allowed: nearest, "));
  EXPECT_EQ(refusal("steps:\n - transform: gptq\n"),
            "r.yaml:2:15: step 1: 'gptq' is a rounding, not a transform; allowed: hadamard, equalize, smoothquant, "
            "preshift, awq, reassemble, bias-correction, tune-blocks, distill");
  EXPECT_EQ(refusal("steps:\n - transform:\n    smoothquant:\n     alhpa: 1\n"),
            "r.yaml:4:6: step 1: unknown option 'alhpa' of 'smoothquant' (did you mean 'alpha'?); allowed: alpha");
  EXPECT_EQ(refusal("steps:\n - transform:\n    smoothquant:\n     alpha: 2\n"),
            "r.yaml:4:6: step 1: alpha of 'smoothquant' must be a number from 0 to 1, found '2'");
  EXPECT_EQ(refusal("steps: [{transform: 'smoothquant:alpha=2'}]"),
            "r.yaml:1:21: step 1: alpha of 'smoothquant' must be a number from 0 to 1, found '2'");
  EXPECT_EQ(refusal("steps: [{transform: {awq: {steps: 5, steps: 6}}}]"),
            "r.yaml:1:38: step 1: steps of 'awq' is given twice");
  EXPECT_EQ(refusal("steps: [{transform: {awq: {steps: [5]}}}]"),
            "r.yaml:1:35: 'steps' of step 1 must be a text, found a list");
  EXPECT_EQ(refusal("steps: [{transform: {awq: 5}}]"),
            "r.yaml:1:27: step 1: the options of 'awq' must be a map, found a text");
  EXPECT_EQ(refusal("steps: [{transform: {awq: {}, hadamard: {}}}]"),
            "r.yaml:1:21: 'transform' of step 1 must be a name, or a map of one name to its options, found 2 names");
  EXPECT_EQ(refusal("steps: [{quantize: int4, rounding: [gptq]}]"),
            "r.yaml:1:36: 'rounding' of step 1 must be a name, or a map of one name to its options, found a list");
  EXPECT_EQ(refusal("steps: [{transform: hadamard, rounding: gptq}]"),
            "r.yaml:1:41: step 1: a transform quantizes nothing; 'rounding' goes with 'quantize'");
  EXPECT_THAT(refusal("steps: [{keep: q, rounding: gptq}]"), HasSubstr("'keep' takes its patterns itself"));
  EXPECT_THAT(refusal("steps: [{quantize: int4, transform: awq}]"), HasSubstr("must have one of the keys"));
}

TEST(ParseRecipe, NamesThePlaceOfStepsThatDoNotGoTogether) {
  EXPECT_EQ(refusal("steps:\n - transform: awq\n - transform: smoothquant\n - quantize: int4\n"),
            "r.yaml:3:4: step 2: 'awq' and 'smoothquant' both scale the channels of the same sites; choose one");
  EXPECT_EQ(refusal("steps:\n - {transform: hadamard, targets: q}\n"),
            "r.yaml:2:4: step 1: 'hadamard' rewrites the whole model and takes no targets");
}

TEST(ParseRecipe, RefusesWhatIsNoYaml) {
  EXPECT_THAT(refusal(""), HasSubstr("r.yaml"));
  EXPECT_THAT(refusal("42"), HasSubstr("the recipe must be a map"));
  EXPECT_THAT(refusal("steps:\n  - {quantize: int4\nname: x"),
              AllOf(StartsWith("r.yaml:"), HasSubstr("not valid YAML")));
  EXPECT_THAT(refusal("steps: [{keep: *anchor}]"), HasSubstr("not valid YAML"));
  EXPECT_THAT(refusal("steps: [{keep: q}]\n---\nsteps: [{keep: q}]\n"), HasSubstr("holds one document, found several"));
  EXPECT_THAT(refusal(", version: 1\n"), HasSubstr("holds one document, found several"));
  EXPECT_THAT(refusal("name: \"\xff\"\n"), HasSubstr("byte 7 is not valid UTF-8"));
  EXPECT_THAT(refusal(std::string("name: a\0b\n", 10)), HasSubstr("byte 7 is 0, which no recipe file holds"));
  EXPECT_THAT(refusal("name: \"a\\_b\"\n"), HasSubstr(":1:7: a text whose escapes stand for no UTF-8"));
  EXPECT_THAT(refusal(std::string(2 << 20, '#')), HasSubstr("too large for a recipe"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("not valid YAML"));
}

TEST(PrintRecipe, ReadsBackAsItWas) {
  const Recipe recipe = parse_recipe(kExample, "r.yaml");
  EXPECT_EQ(parse_recipe(to_yaml(recipe), "other"), recipe);
  EXPECT_EQ(parse_recipe(dump_json(to_json(recipe)), "other"), recipe);
  EXPECT_EQ(to_json(recipe)["version"], 1);
}

TEST(PrintRecipe, ShowsOptionsThatAreNotAsUsual) {
  const Recipe recipe = parse_recipe(
      "name: r\nsteps: [{transform: {hadamard: {residual: true, heads: false}}}, {transform: {awq: {steps: 20}}}, "
      "{quantize: int4-g128, rounding: {gptq: {order: act-order, damping: 0.05, static-groups: false}}, targets: [q]}]",
      "r");
  EXPECT_EQ(to_yaml(recipe),
            "version: 1\nname: \"r\"\nsteps:\n  - transform: {hadamard: {heads: false}}\n  - transform: awq\n"
            "  - quantize: int4-g128\n    rounding: {gptq: {damping: 0.05, order: act-order}}\n    targets: [\"q\"]\n");
  EXPECT_EQ(to_json(recipe)["steps"],
            Json::parse(R"([{"transform": {"hadamard": {"heads": false}}}, {"transform": "awq"},
                            {"quantize": "int4-g128", "rounding": {"gptq": {"damping": 0.05, "order": "act-order"}},
                             "targets": ["q"]}])"));
  // Integers stay integers.
  EXPECT_EQ(to_json(parse_recipe("steps: [{transform: {awq: {steps: 7}}}, {quantize: int4}]", "r"))["steps"][0].dump(),
            R"({"transform":{"awq":{"steps":7}}})");
}

TEST(PrintRecipe, ReadsBackRoundingsAndTransforms) {
  Rng rng(3, 0);
  for (int round = 0; round < 1000; ++round) {
    Recipe recipe = testing::random_short_recipe(rng);
    recipe.name = "r";
    for (RecipeStep& step : recipe.steps) {
      const bool whole = step.transform && std::holds_alternative<HadamardTransform>(*step.transform);
      if (!whole && rng.next_u32() % 3 == 0) step.targets = {"q", "*.up.*"};
    }
    std::swap(recipe.steps.front(), recipe.steps[rng.next_u32() % recipe.steps.size()]);
    if (!testing::accepted(recipe)) continue;
    EXPECT_EQ(parse_recipe(to_yaml(recipe), "r"), recipe) << to_yaml(recipe);
    EXPECT_EQ(parse_recipe(dump_json(to_json(recipe)), "r"), recipe) << dump_json(to_json(recipe));
  }
}

/// Any mixture of characters that YAML or JSON treat specially.
std::string awkward_text(Rng& rng) {
  static const std::vector<std::string> pieces = {"a",  "*",    "?",    ": ",   " #",   "\n", "\"", "'", "\\",
                                                  "\t", "- ",   "~",    "null", "é",    "😀",  "[",  "}", "%",
                                                  "@",  "\x01", "\r\n", " ",    "true", "&",  "!"};
  std::string text;
  for (uint32_t i = 1 + rng.next_u32() % 12; i > 0; --i) text += pieces[rng.next_u32() % pieces.size()];
  return text;
}

TEST(PrintRecipe, ReadsBackAnyText) {
  Rng rng(1, 0);
  const std::vector<std::string> specs = {"int4-g128", "int3-g64-asym", "e3m2-row", "nf4-g64", "mxfp4", "nvfp4"};
  for (int round = 0; round < 300; ++round) {
    Recipe recipe{awkward_text(rng), awkward_text(rng), awkward_text(rng), {}};
    for (uint32_t s = 1 + rng.next_u32() % 3; s > 0; --s) {
      RecipeStep step;
      if (rng.next_u32() % 3 != 0) step.quantize = parse_target(specs[rng.next_u32() % specs.size()]);
      if (!step.quantize || rng.next_u32() % 2 == 0) step.targets = {awkward_text(rng), awkward_text(rng)};
      recipe.steps.push_back(step);
    }
    EXPECT_EQ(parse_recipe(to_yaml(recipe), "r"), recipe) << to_yaml(recipe);
    EXPECT_EQ(parse_recipe(dump_json(to_json(recipe)), "r"), recipe) << dump_json(to_json(recipe));
  }
}

}  // namespace
}  // namespace bitloom
