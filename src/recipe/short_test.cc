#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "base/error.h"
#include "base/test_data.h"
#include "base/text/text.h"
#include "recipe/random_recipe.h"
#include "recipe/recipe.h"
#include "round/trellis/trellis_rounding.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string refusal(const std::string& text) {
  return testing::message_of(ErrorKind::kUsage, [&] { parse_short(text); });
}

RecipeStep step_of(const Transform& transform) {
  RecipeStep step;
  step.transform = transform;
  return step;
}

RecipeStep step_of(const char* format, const Rounding& rounding) {
  RecipeStep step;
  step.quantize = parse_target(format);
  step.rounding = rounding;
  return step;
}

using Steps = std::vector<RecipeStep>;

// Every short name of recipe.h, the design and the help.
TEST(ShortRecipe, MeansWhatIsDocumented) {
  const GptqRounding gptq;
  const std::pair<const char*, Steps> documented[] = {
      {"int4-g128", {step_of("int4-g128", NearestRounding{})}},
      {"gptq+int3-g64", {step_of("int3-g64", gptq)}},
      {"gptq:act-order,damp=0.05+int4-g128",
       {step_of("int4-g128", GptqRounding{.damping = 0.05, .order = ColumnOrder::kActivation})}},
      {"hadamard+gptq+int4-row", {step_of(HadamardTransform{}), step_of("int4-row", gptq)}},
      {"hadamard+gptq:act-order+mxfp4",
       {step_of(HadamardTransform{}), step_of("mxfp4", GptqRounding{.order = ColumnOrder::kActivation})}},
      {"awq+int4-g128", {step_of(ScaleSearchTransform{}), step_of("int4-g128", NearestRounding{})}},
      {"smoothquant:0.6+int8-row", {step_of(SmoothTransform{0.6}), step_of("int8-row", NearestRounding{})}},
      {"smoothquant:0.5+int8-row", {step_of(SmoothTransform{}), step_of("int8-row", NearestRounding{})}},
      {"adaround+int3-g64", {step_of("int3-g64", AdaRounding{})}},
      {"gptaq+int2-g32", {step_of("int2-g32", GptqRounding{.correction = 0.25})}},
      {"gptaq:damp=0.05+int2-g32", {step_of("int2-g32", GptqRounding{.damping = 0.05, .correction = 0.25})}},
      {"hadamard:heads=false+awq:steps=10+gptq+nf4-g64",
       {step_of(HadamardTransform{true, false}), step_of(ScaleSearchTransform{10}), step_of("nf4-g64", gptq)}},
      {"equalize+smoothquant+int8-row",
       {step_of(EqualizeTransform{}), step_of(SmoothTransform{}), step_of("int8-row", NearestRounding{})}},
      {"bias-correction+adaround+int3-g64", {step_of(BiasCorrectionTransform{}), step_of("int3-g64", AdaRounding{})}},
      {"gptq:order=natural,static-groups=true+int4-g128",
       {step_of("int4-g128", GptqRounding{.order = ColumnOrder::kNatural, .static_groups = true})}},
      {"nearest+int4-g128", {step_of("int4-g128", NearestRounding{})}},
      {"viterbi+trellis2+frame-in512-out512", {step_of("trellis2+frame-in512-out512", ViterbiRounding{})}},
      {"gptq+int3-row+frame-in64+head:int8-row",
       [&] {
         RecipeStep head = step_of("int8-row", NearestRounding{});
         head.targets = {"head"};
         return Steps{step_of("int3-row+frame-in64", gptq), head};
       }()},
  };
  for (const auto& [text, steps] : documented) EXPECT_EQ(parse_short(text).steps, steps) << text;
}

// The block of comments at the head of recipe.h cannot go stale.
TEST(ShortRecipe, ReadsTheExamplesOfTheHeader) {
  const std::string header = read_text("src/recipe/recipe.h");
  const size_t begin = header.find("// SHORT says"), end = header.find("// Later steps");
  ASSERT_LT(begin, end);
  const std::string block = header.substr(header.find(":\n", begin), end - header.find(":\n", begin));
  const std::regex word(R"([a-z][^\s/]*[a-z0-9])");
  int examples = 0;
  for (std::sregex_iterator match(block.begin(), block.end(), word), none; match != none; ++match, ++examples) {
    EXPECT_NO_THROW(parse_short(match->str())) << match->str();
  }
  EXPECT_GE(examples, 8);
}

TEST(ShortRecipe, HasADefault) {
  EXPECT_EQ(*to_short(parse_short(kDefaultRecipe)), "gptq:correction=0.25+iq4nl-g128-mse");
}

TEST(ShortRecipe, IsNamedCanonicallyAndDescribed) {
  const Recipe recipe = parse_short("gptq:act-order,damp=0.050+hadamard:heads=false+bias-correction+int4-g128");
  EXPECT_EQ(recipe.name, "hadamard:heads=false+bias-correction+gptq:damping=0.05,act-order+int4-g128");
  EXPECT_EQ(recipe.description,
            "int4-g128 for every linear layer of the blocks, rounded with error feedback (GPTQ), damping 0.05, order "
            "act-order; before that a Hadamard rotation, heads false; afterwards biases corrected for the mean error");
  EXPECT_EQ(parse_short("int8-row").description, "int8-row for every linear layer of the blocks, rounded to nearest");
  EXPECT_EQ(parse_short("equalize+awq+nf4-g64").description,
            "nf4-g64 for every linear layer of the blocks, rounded to nearest; before that cross-layer equalization, "
            "then channel scales by search (AWQ)");
  EXPECT_EQ(parse_short("gptq:group-aware+int4-g128").name, "gptq+int4-g128") << "a default is not printed";
}

TEST(ShortRecipe, LeavesFormatsAndNumbersWhole) {
  const Recipe table = parse_short("gptq+table[-1;0;1]-g64");
  EXPECT_EQ(table.steps[0].quantize, parse_target("table[-1;0;1]-g64"));
  EXPECT_EQ(parse_short("gptq+table[-1e+3;0;1e+30]-g64").steps[0].quantize, parse_target("table[-1e+3;0;1e+30]-g64"));
  EXPECT_EQ(parse_short("table[-1e+3;0;1e+30]-g64").steps[0].quantize, parse_target("table[-1e+3;0;1e+30]-g64"));
  EXPECT_EQ(parse_short("smoothquant:0.0075e+2+int8-row").steps[0].transform, Transform(SmoothTransform{0.75}));
  EXPECT_EQ(parse_short("adaround:regularizer=1.e+2,warmup=5E-1+int4-mse2.5e+0").steps[0],
            step_of("int4-mse2.5", AdaRounding{.regularizer = 100, .warmup = 0.5}));
}

TEST(ShortRecipe, ReadsBackAsItWas) {
  Rng rng(7, 0);
  for (int round = 0; round < 2000; ++round) {
    const Recipe recipe = testing::random_short_recipe(rng);
    const auto text = to_short(recipe);
    ASSERT_TRUE(text);
    const Recipe again = parse_short(*text);
    EXPECT_EQ(again.steps, recipe.steps) << *text;
    EXPECT_EQ(again.name, *text);
    EXPECT_EQ(parse_recipe(to_yaml(again), "r"), again) << *text;
  }
}

TEST(ShortRecipe, IsNotForEveryRecipe) {
  for (const char* steps : {"{quantize: int4-g128, targets: q}", "{keep: q}, {quantize: int4}", "{keep: q}",
                            "{quantize: int4}, {quantize: int8}", "{transform: hadamard}",
                            "{transform: smoothquant, targets: mlp}, {quantize: int8}"}) {
    EXPECT_FALSE(to_short(parse_recipe("steps: [" + std::string(steps) + "]", "r"))) << steps;
  }
}

TEST(ShortRecipe, SaysWhichStepIsWrongAndHow) {
  EXPECT_THAT(refusal("gtpq+int4-g128"),
              StartsWith("short recipe 'gtpq+int4-g128', step 1: unknown part 'gtpq' (did you mean 'gptq'?); allowed: "
                         "hadamard, equalize, smoothquant, preshift, awq, reassemble, nearest, gptq, "));
  EXPECT_THAT(
      refusal("hadamard+gptq:dmap=1+int4-g128"),
      HasSubstr("step 2: unknown option 'dmap' of 'gptq' (did you mean 'damp'?); allowed: damping (or damp), "));
  EXPECT_THAT(refusal("gptq:damp=2+int4-g128"),
              HasSubstr("step 1: damping of 'gptq' must be a number from 0 to 0.99, found '2'"));
  EXPECT_THAT(refusal("gptq+adaround+int4-g128"),
              HasSubstr("step 2: 'adaround' is a second rounding after 'gptq'; choose one"));
  EXPECT_THAT(refusal("nearest+gptq+int4"), HasSubstr("'gptq' is a second rounding after 'nearest'"));
  EXPECT_THAT(refusal("gptaq+gptq+int4"), HasSubstr("'gptq' is a second rounding after 'gptq'"));
  EXPECT_EQ(refusal("gptq+awq"),
            "short recipe 'gptq+awq', step 2: no format after 'awq'; it comes last, as in gptq+int4-g128");
  EXPECT_EQ(refusal("gptq:act-order"), "no format after 'gptq'; it comes last, as in gptq+int4-g128");
  EXPECT_EQ(refusal("gptq+int4-g128+bias-correction"),
            "short recipe 'gptq+int4-g128+bias-correction', step 2: the format 'int4-g128' must come last, as in "
            "gptq+int4-g128");
  EXPECT_THAT(refusal("int4-g128+int8-row"), HasSubstr("step 1: the format 'int4-g128' must come last"));
  EXPECT_THAT(refusal("hadamard+equalize+hadamard+int4"), HasSubstr("step 3: 'hadamard' is given twice"));
  for (const char* empty : {"+int4", "gptq++int4", "gptq+", "+"}) {
    EXPECT_THAT(refusal(empty), HasSubstr("an empty step")) << empty;
  }
  EXPECT_THAT(refusal("gptq:+int4"), HasSubstr("an empty option of 'gptq'"));
  EXPECT_THAT(refusal("gptq:act-order,+int4"), HasSubstr("an empty option of 'gptq'"));
  EXPECT_THAT(refusal("gptq:act-order,natural+int4"), HasSubstr("order of 'gptq' is given twice"));
  EXPECT_THAT(refusal("gptq:damp=0.1,damping=0.1+int4"), HasSubstr("damping of 'gptq' is given twice"));
  EXPECT_THAT(refusal("gptq:damp=+int4"), HasSubstr("damping of 'gptq' must be a number from 0 to 0.99, found ''"));
  EXPECT_THAT(refusal("gptq+itn4-g128"), HasSubstr("step 2: unknown format \"itn4\""));
  EXPECT_EQ(refusal(""), "a short recipe is empty; write one as gptq+int4-g128");
}

TEST(ShortRecipe, EndsInWhatHeadAndEmbeddingBecome) {
  RecipeStep head = step_of("int8-row", NearestRounding{}), embedding = step_of("int6-g64", NearestRounding{});
  head.targets = {"head"}, embedding.targets = {"embedding"};
  const RecipeStep blocks = step_of("int4-g64", GptqRounding{});
  const Recipe recipe = parse_short("gptq+int4-g64+head:int8-row");
  EXPECT_EQ(recipe.steps, (std::vector<RecipeStep>{blocks, head}));
  EXPECT_EQ(recipe.name, "gptq+int4-g64+head:int8-row");
  EXPECT_EQ(recipe.description,
            "int4-g64 for every linear layer of the blocks, rounded with error feedback (GPTQ); the head in int8-row");
  EXPECT_EQ(parse_short("gptq+int4-g64+embedding:int6-g64+head:int8-row").steps,
            (std::vector<RecipeStep>{blocks, embedding, head}));
  EXPECT_EQ(parse_short("bias-correction+int8-row+head:int8-row").name, "bias-correction+int8-row+head:int8-row");
  EXPECT_THAT(refusal("head:int8-row"), HasSubstr("no format before 'head:int8-row'"));
  EXPECT_THAT(refusal("gptq+head:int8-row"), HasSubstr("no format after 'gptq'"));
  EXPECT_THAT(refusal("int4-row+head:int8-row+head:int6-row"), HasSubstr("step 3: a second format for 'head'"));
  EXPECT_THAT(refusal("int4-row+head:int8-row+gptq"), HasSubstr("the format 'int4-row' must come last"));
  EXPECT_THAT(refusal("int4-row+head:codebook3"),
              HasSubstr("'nearest' cannot choose codes of codebook3-col: 'gptq', 'kmeans', "));
  EXPECT_THAT(refusal("int4-row+head:"), HasSubstr("step 2"));
  EXPECT_THAT(refusal("int4-row+tail:int8-row"), HasSubstr("step 1: the format 'int4-row' must come last"));
}

// A later step overrides an earlier one in a file; a short form has one for each.
TEST(ShortRecipe, HasNoFormForTwoFormatsOfTheHead) {
  const Recipe recipe =
      parse_recipe("steps: [{quantize: int4}, {quantize: int8, targets: head}, {quantize: int6, targets: head}]", "r");
  EXPECT_FALSE(to_short(recipe));
}

TEST(ShortRecipe, EndsInWhatAttentionMultiplies) {
  const Recipe recipe = parse_short("gptq+int4-row@int8-token+kv:int4-asym-token-had64+head:int8-row+queries:int8-g32");
  ASSERT_EQ(recipe.steps.size(), 4u);
  EXPECT_EQ(recipe.steps[1].attention, parse_activation_format("int4-asym-token-had64"));
  EXPECT_THAT(recipe.steps[1].targets, ::testing::ElementsAre("keys", "values"));
  EXPECT_THAT(recipe.steps[3].targets, ::testing::ElementsAre("queries"));
  EXPECT_EQ(recipe.name, "gptq+int4-row@int8-token+kv:int4-asym-token-had64+head:int8-row+queries:int8-g32");
  EXPECT_THAT(recipe.description, HasSubstr("; keys and values in int4-asym-token-had64"));
  EXPECT_EQ(parse_short("int4-row+keys:int4-token+values:int8-token").name,
            "int4-row+keys:int4-token+values:int8-token");
  EXPECT_THAT(refusal("int4-row+kv:int4-token+keys:int8-token"), HasSubstr("step 3: a second format for 'keys'"));
  EXPECT_THAT(refusal("kv:int4-token"), HasSubstr("no format before 'kv:int4-token'"));
  EXPECT_THAT(refusal("int4-row+kv:int4"), HasSubstr("does not say who shares a scale"));
  EXPECT_THAT(refusal("int4-row+values:int8-tensor-kl"),
              HasSubstr("ranges are found in what linear layers read alone"));
  EXPECT_THAT(refusal("int4-row+probabilities:int8-token-had2"), HasSubstr("nothing rotates them"));
}

TEST(ShortRecipe, SaysWhatInputsAreRoundedTo) {
  RecipeStep step = step_of("int4-g128", GptqRounding{});
  step.activations = parse_activation_format("int8-token");
  const Recipe recipe = parse_short("gptq+int4-g128@int8-token");
  EXPECT_EQ(recipe.steps, std::vector<RecipeStep>{step});
  EXPECT_EQ(recipe.name, "gptq+int4-g128@int8-token");
  EXPECT_EQ(
      recipe.description,
      "int4-g128 and inputs in int8-token for every linear layer of the blocks, rounded with error feedback (GPTQ)");
  EXPECT_EQ(parse_short("int4-row@int8-g64+head:int8-row").name, "int4-row@int8-g64+head:int8-row");
  EXPECT_THAT(refusal("int4-row@int8-rows"), HasSubstr("int8-rows"));
  EXPECT_THAT(refusal("int4-row@"), HasSubstr("unknown format"));
  EXPECT_THAT(refusal("int4-row+head:int8-row@int8-token"), HasSubstr("only what the blocks read is rounded"));
}

TEST(ShortRecipe, RefusesPartsThatDoNotGoTogether) {
  EXPECT_THAT(refusal("awq+smoothquant+int8-row"),
              HasSubstr("step 2: 'awq' and 'smoothquant' both scale the channels of the same sites; choose one"));
  EXPECT_THAT(refusal("adaround+codebook3-col"),
              HasSubstr("step 2: 'adaround' cannot choose codes of codebook3-col: 'gptq', 'kmeans', "));
  EXPECT_THAT(refusal("kmeans+int4-row"), HasSubstr("'kmeans' cannot choose codes of int4-row: 'nearest', 'gptq', "));
  EXPECT_THAT(refusal("smoothquant+hadamard+int8-row"), HasSubstr("step 2: 'hadamard' must come before 'smoothquant'"));
}

}  // namespace
}  // namespace bitloom
