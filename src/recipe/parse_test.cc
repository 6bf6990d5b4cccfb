#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
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
  try {
    parse_recipe(yaml, "r.yaml");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted:\n" << yaml;
  return "";
}

TEST(ParseRecipe, ReadsEveryKey) {
  const Recipe recipe = parse_recipe(kExample, "somewhere/file.yaml");
  EXPECT_EQ(recipe.name, "example");
  EXPECT_EQ(recipe.description, "a mixture: three steps");
  EXPECT_EQ(recipe.source, "Somebody et al., 2023");
  ASSERT_EQ(recipe.steps.size(), 3u);
  EXPECT_EQ(recipe.steps[0].quantize, parse_spec("int4-g128"));
  EXPECT_THAT(recipe.steps[0].targets, ElementsAre("*"));
  EXPECT_FALSE(recipe.steps[1].quantize);
  EXPECT_THAT(recipe.steps[1].targets, ElementsAre("*.down_proj.weight"));
  EXPECT_EQ(recipe.steps[2].quantize, parse_spec("int8-row"));
  EXPECT_THAT(recipe.steps[2].targets, ElementsAre("embedding", "head"));
}

TEST(ParseRecipe, FillsInWhatIsLeftOut) {
  const Recipe recipe = parse_recipe("steps: [{quantize: mxfp4}, {keep: down}]", "dir/my-mix.yaml");
  EXPECT_EQ(recipe.name, "my-mix");
  EXPECT_EQ(recipe.steps[0].rounding, "nearest");
  EXPECT_TRUE(recipe.steps[0].targets.empty());
  EXPECT_THAT(recipe.steps[1].targets, ElementsAre("down"));
}

TEST(ParseRecipe, NamesPlaceSpellingAndAllowedKeys) {
  EXPECT_EQ(refusal("name: x\nsteps:\n  - quantise: int4-g128\n"),
            "r.yaml:3:5: unknown key 'quantise' in step 1 (did you mean 'quantize'?); allowed: quantize, keep, "
            "rounding, targets");
  EXPECT_THAT(refusal("name: x\nstep:\n  - quantize: int4\n"),
              AllOf(StartsWith("r.yaml:2:1: unknown key 'step' in the recipe (did you mean 'steps'?)"),
                    HasSubstr("allowed: version, name, description, source, steps")));
  EXPECT_THAT(refusal("steps:\n - quantize: int4-g128\n   rounding: nearst\n"),
              StartsWith("r.yaml:3:14: step 1: unknown rounding 'nearst' (did you mean 'nearest'?); allowed: nearest"));
  EXPECT_THAT(refusal("steps:\n - keep: q\n - quantize: itn4-g128\n"),
              AllOf(StartsWith("r.yaml:3:14: step 2: "), HasSubstr("itn4")));
}

TEST(ParseRecipe, RefusesWhatMakesNoSense) {
  EXPECT_THAT(refusal("name: x\n"), HasSubstr("the key 'steps' is missing"));
  EXPECT_THAT(refusal("steps: []\n"), HasSubstr("'steps' must be a list of at least one step"));
  EXPECT_THAT(refusal("steps: int4\n"), HasSubstr("'steps' must be a list of at least one step"));
  EXPECT_THAT(refusal("steps: [int4]\n"), HasSubstr("step 1 must be a map with the keys quantize, keep"));
  EXPECT_THAT(refusal("steps: [{targets: q}]\n"), HasSubstr("one of the keys 'quantize' and 'keep'"));
  EXPECT_THAT(refusal("steps: [{quantize: int4, keep: q}]\n"), HasSubstr("one of the keys 'quantize' and 'keep'"));
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

TEST(ParseRecipe, RefusesWhatIsNoYaml) {
  EXPECT_THAT(refusal(""), HasSubstr("r.yaml"));
  EXPECT_THAT(refusal("42"), HasSubstr("the recipe must be a map"));
  EXPECT_THAT(refusal("steps:\n  - {quantize: int4\nname: x"),
              AllOf(StartsWith("r.yaml:"), HasSubstr("not valid YAML")));
  EXPECT_THAT(refusal("steps: [{keep: *anchor}]"), HasSubstr("not valid YAML"));
  EXPECT_THAT(refusal("steps: [{keep: q}]\n---\nsteps: [{keep: q}]\n"), HasSubstr("holds one document, found 2"));
  EXPECT_THAT(refusal("name: \"\xff\"\n"), HasSubstr("byte 7 is not valid UTF-8"));
  EXPECT_THAT(refusal(std::string(2 << 20, '#')), HasSubstr("too large for a recipe"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("not valid YAML"));
}

TEST(PrintRecipe, ReadsBackAsItWas) {
  const Recipe recipe = parse_recipe(kExample, "r.yaml");
  EXPECT_EQ(parse_recipe(to_yaml(recipe), "other"), recipe);
  EXPECT_EQ(parse_recipe(dump_json(to_json(recipe)), "other"), recipe);
  EXPECT_EQ(to_json(recipe)["version"], 1);
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
      if (rng.next_u32() % 3 != 0) step.quantize = parse_spec(specs[rng.next_u32() % specs.size()]);
      if (!step.quantize || rng.next_u32() % 2 == 0) step.targets = {awkward_text(rng), awkward_text(rng)};
      recipe.steps.push_back(step);
    }
    EXPECT_EQ(parse_recipe(to_yaml(recipe), "r"), recipe) << to_yaml(recipe);
    EXPECT_EQ(parse_recipe(dump_json(to_json(recipe)), "r"), recipe) << dump_json(to_json(recipe));
  }
}

}  // namespace
}  // namespace bitloom
