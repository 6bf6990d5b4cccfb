#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/test_data.h"
#include "base/text/text.h"
#include "model/checkpoint/checkpoint.h"
#include "recipe/recipe.h"
#include "round/adaround/adaround.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const std::string& name) {
  return testing::message_of(ErrorKind::kUsage, [&] { load_recipe(name); });
}

TEST(LoadRecipe, TakesShortNames) {
  const Recipe recipe = load_recipe("int4-g128");
  EXPECT_EQ(recipe.name, to_string(parse_target("int4-g128")));
  ASSERT_EQ(recipe.steps.size(), 1u);
  EXPECT_EQ(recipe.steps[0].quantize, parse_target("int4-g128"));
  EXPECT_TRUE(recipe.steps[0].targets.empty());
}

TEST(LoadRecipe, TakesComposedNames) {
  const Recipe recipe = load_recipe("gptq:damp=0.05+int4-g128");
  EXPECT_EQ(recipe, parse_short("gptq:damp=0.05+int4-g128"));
  EXPECT_EQ(recipe.name, "gptq:damping=0.05+int4-g128");
  EXPECT_EQ(load_recipe(kDefaultRecipe).steps[0].rounding, Rounding(GptqRounding{.correction = 0.25}));
}

TEST(LoadRecipe, TakesFiles) {
  testing::TempDir dir;
  std::ofstream(dir.file("mine.yaml")) << "steps: [{quantize: nf4-g64}]\n";
  EXPECT_EQ(load_recipe(dir.file("mine.yaml")).name, "mine");
  EXPECT_EQ(refusal(dir.file("yours.yaml")), dir.file("yours.yaml") + ": no such recipe file");
  EXPECT_THAT(refusal(dir.path() + "/"), HasSubstr("no such recipe file"));
}

TEST(LoadRecipe, TellsAFileFromAPartOfTheSameName) {
  EXPECT_EQ(load_recipe("billm").name, "billm");
  EXPECT_EQ(load_recipe("billm").steps[0].quantize, parse_target("planes-g128-fp8"));
  EXPECT_EQ(load_recipe("billm:refine=2+planes-g64").steps[0].quantize, parse_target("planes-g64"));
  EXPECT_EQ(refusal("billm:refine=2"), "'refine=2': this recipe declares no options");
}

TEST(LoadRecipe, SaysWhatANameCouldHaveMeant) {
  EXPECT_THAT(refusal("int8-al"),
              AllOf(HasSubstr("'int8-al' is neither a recipe of "), HasSubstr("did you mean 'int8-all'?")));
  EXPECT_THAT(refusal("intt4-g128"), HasSubstr("nor a short recipe: "));
  EXPECT_THAT(refusal("gptq"), AllOf(HasSubstr("'gptq' is neither a recipe of "), HasSubstr("no format after 'gptq'")));
  EXPECT_THAT(refusal("gptq+awq"), ::testing::StartsWith("short recipe 'gptq+awq', step 2: "));
  refusal("");
}

TEST(RecipeLibrary, IsFoundFromTheProgramAndTheSourceTree) {
  const auto directories = recipe_directories();
  const std::string here = std::filesystem::canonical("recipes").string();
  EXPECT_EQ(std::count(directories.begin(), directories.end(), here), 1);
}

TEST(RecipeLibrary, LoomIsTunedOnRequest) {
  const Recipe plain = load_recipe("loom-2"), tuned = load_recipe("loom-2:tuned=true");
  EXPECT_EQ(plain.steps, parse_short("ldlq:two-sided,drift=1+trellis2+frame-in512-out512").steps);
  ASSERT_EQ(tuned.steps.size(), 2u);
  EXPECT_EQ(tuned.steps[0].quantize, parse_target("trellis2+frame-in512-out512-inscales-outscales"));
  EXPECT_EQ(tuned.steps[0].rounding, plain.steps[0].rounding);
  EXPECT_EQ(tuned.steps[1].transform, Transform(DistillTransform{}));
}

TEST(RecipeLibrary, ABeamIsOneAtLeast) {
  EXPECT_THAT(refusal("aqlm:beam=0+aq2x8-g8"), HasSubstr("beam of 'aqlm' must be an integer from 1 to 64, found '0'"));
}

TEST(RecipeLibrary, BlocksOfAqlmAreTunedOnRequest) {
  EXPECT_EQ(load_recipe("aqlm-2x8").steps, parse_short("aqlm+aq2x8-g8").steps);
  const Recipe tuned = load_recipe("aqlm-2x8:tuned=true");
  ASSERT_EQ(tuned.steps.size(), 2u);
  EXPECT_EQ(tuned.steps[1].transform, Transform(BlockTuningTransform{}));
}

TEST(RecipeLibrary, PvTuningLearnsCodesBehindTunedBlocks) {
  const Recipe recipe = load_recipe("aqlm-2x8-pv");
  ASSERT_EQ(recipe.steps.size(), 3u);
  EXPECT_EQ(recipe.steps[1].transform, Transform(BlockTuningTransform{}));
  EXPECT_TRUE(std::get<DistillTransform>(*recipe.steps[2].transform).codes);
}

TEST(RecipeLibrary, EveryRecipeKeepsTheRulesAndFitsTheDemoModel) {
  const auto demo = Checkpoint::open("assets/demo");
  const auto recipes = list_recipes();
  EXPECT_GE(recipes.size(), 5u);
  for (const RecipeEntry& entry : recipes) {
    SCOPED_TRACE(entry.path);
    const std::string yaml = read_text(entry.path);
    EXPECT_LE(std::count(yaml.begin(), yaml.end(), '\n'), 40);
    const Recipe recipe = load_recipe(entry.name);
    EXPECT_EQ(recipe.name, entry.name) << "the name is the file's stem";
    EXPECT_EQ(recipe.description, entry.description);
    EXPECT_FALSE(recipe.description.empty());
    EXPECT_EQ(parse_recipe(to_yaml(recipe), entry.path), recipe);
    // A file must not shadow a short name.
    EXPECT_THROW(parse_short(entry.name), Error);
    EXPECT_FALSE(resolve(recipe, demo->graph()).empty());
    EXPECT_NO_THROW(resolve_transforms(recipe, demo->graph()));
  }
}

// The order of the paper's code: equalization, SmoothQuant, rounding, edges in a format of their own, bias correction.
TEST(RecipeLibrary, MinifloatsKeepThePapersOrder) {
  EXPECT_EQ(load_recipe("minifloat").steps.size(), 1u);
  const std::vector<RecipeStep> steps =
      load_recipe("minifloat:equalize=true,smooth=true,bias=true,edges=e3m4,rounding=gptq").steps;
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(steps[0].transform, Transform(EqualizeTransform{}));
  EXPECT_EQ(steps[1].transform, Transform(SmoothTransform{}));
  EXPECT_EQ(to_short(steps[2]), "gptq+e2m1-row@e4m3-tensor-p99.999");
  EXPECT_EQ(to_short(steps[3]), "gptq+e3m4-row@e3m4-tensor-p99.999");
  EXPECT_THAT(steps[3].targets, ::testing::ElementsAre("blocks.0.*", "blocks.-1.*"));
  EXPECT_EQ(steps[4].transform, Transform(BiasCorrectionTransform{}));
}

TEST(RecipeLibrary, LlmFp4HasTheOuterMatricesAndTheFoldAsOptions) {
  ASSERT_EQ(load_recipe("llmfp4-w4a4").steps.size(), 1u);
  EXPECT_EQ(to_short(load_recipe("llmfp4-w4a4").steps[0]), "fpq+e2m1-row@e2m1-tensor-joint-shift");
  EXPECT_EQ(to_short(load_recipe("llmfp4-w4a8:shift=none,search=full,grid=bias").steps[0]),
            "fpq:full,bias+e2m1-row@e4m3-tensor-joint");
  const std::vector<RecipeStep> steps = load_recipe("llmfp4-w4a4:outer=true,shift=fold").steps;
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].transform, Transform(PreshiftTransform{}));
  EXPECT_EQ(to_short(steps[2]), "fpq:weights+e2m1-row");
  EXPECT_THAT(steps[2].targets, ::testing::ElementsAre("embedding", "head"));
}

}  // namespace
}  // namespace bitloom
