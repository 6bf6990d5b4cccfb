#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "recipe/parts.h"
#include "recipe/recipe.h"
#include "round/adaround/adaround.h"
#include "round/fpq/fpq.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

RecipeStep transform(const Transform& transform, std::vector<std::string> targets = {}) {
  RecipeStep step;
  step.transform = transform;
  step.targets = std::move(targets);
  return step;
}

RecipeStep quantize(const Rounding& rounding) {
  RecipeStep step;
  step.quantize = parse_target("int4-g128");
  step.rounding = rounding;
  return step;
}

RecipeStep keep(std::vector<std::string> targets) {
  RecipeStep step;
  step.targets = std::move(targets);
  return step;
}

std::string verdict(std::vector<RecipeStep> steps) {
  try {
    check({"r", "", "", std::move(steps)});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  return "";
}

TEST(CheckRecipe, KnowsCorrections) {
  const RecipeStep corrected = transform(BlockTuningTransform{.correction = 4});
  EXPECT_EQ(verdict({quantize(NearestRounding{}), corrected}), "");
  EXPECT_THAT(verdict({quantize(NearestRounding{}),
                       transform(BlockTuningTransform{.parity = BlockTuningTransform::Parity::kPaper})}),
              HasSubstr("parity=paper of 'tune-blocks' is about its correction, and that is 0"));
  EXPECT_THAT(verdict({quantize(NearestRounding{}), transform(BlockTuningTransform{.correction = -1})}),
              HasSubstr("correction of 'tune-blocks' must be an integer from 0 to 1024"));
}

TEST(CheckRecipe, KnowsGradientsOfFormats) {
  DistillTransform learned{.parity = DistillTransform::Parity::kPaper};
  EXPECT_THAT(verdict({quantize(NearestRounding{}), transform(learned)}),
              HasSubstr("parity=paper of 'distill' is about formats, and they are not learned: give it 'formats'"));
  DistillTransform rate{.format_rate = 0.5};
  EXPECT_THAT(verdict({quantize(NearestRounding{}), transform(rate)}),
              HasSubstr("format-rate=0.5 of 'distill' is about formats, and they are not learned: give it 'formats'"));
  learned.formats = rate.formats = true;
  EXPECT_EQ(verdict({quantize(NearestRounding{}), transform(learned)}), "");
  EXPECT_EQ(verdict({quantize(NearestRounding{}), transform(rate)}), "");
}

TEST(CheckRecipe, ReassemblesWhatIsRounded) {
  RecipeStep rounded = quantize(NearestRounding{});
  EXPECT_EQ(verdict({transform(ReassembleTransform{}), rounded}),
            "recipe 'r', step 1: 'reassemble' is about rounded inputs, but no step has activations");
  rounded.activations = parse_activation_format("int4-asym-token");
  EXPECT_EQ(verdict({transform(ReassembleTransform{}), rounded}), "");
  EXPECT_EQ(verdict({transform(SmoothTransform{}), transform(ReassembleTransform{}), rounded}), "");
  EXPECT_THAT(verdict({transform(ReassembleTransform{}), transform(SmoothTransform{}), rounded}),
              HasSubstr("'smoothquant' must come before 'reassemble', which is about the inputs as they are then"));
  EXPECT_THAT(verdict({transform(ReassembleTransform{}), transform(ReassembleTransform{}), rounded}),
              HasSubstr("'reassemble' is given twice"));
  EXPECT_EQ(verdict({transform(ReassembleTransform{}), rounded, transform(BlockTuningTransform{})}), "");
  RecipeStep guided = rounded;
  guided.rounding = GptqRounding{.guided = true};
  EXPECT_THAT(verdict({transform(ReassembleTransform{}), guided}), HasSubstr("takes gradients of the model before"));
  for (const double ratio : {0.0, 0.6}) {
    EXPECT_THAT(verdict({transform(ReassembleTransform{.ratio = ratio}), rounded}),
                HasSubstr("ratio of 'reassemble' must be a number from 0.001 to 0.5"))
        << ratio;
  }
  RecipeStep codebook = rounded;
  codebook.quantize = parse_target("codebook4-col");
  codebook.rounding = find_part("kmeans") ? rounding_of(*find_part("kmeans")) : Rounding();
  EXPECT_THAT(verdict({transform(ReassembleTransform{}), codebook}),
              HasSubstr("'reassemble' tries thresholds by rounding to nearest, which codebook4-col has no grid for"));
  rounded.activations = parse_activation_format("int4-token-reassembled[1>0=2]");
  EXPECT_THAT(
      verdict({rounded}),
      HasSubstr("int4-token with 1 moves: channels are moved in the weights, too, so 'reassemble' finds which"));
}

TEST(CheckRecipe, RefusesARoundingOfNothing) {
  RecipeStep kept = keep({"down"});
  EXPECT_EQ(verdict({kept}), "");
  kept.rounding = GptqRounding{.damping = 0.1};
  EXPECT_EQ(verdict({quantize(NearestRounding{}), kept}),
            "recipe 'r', step 2: rounding 'gptq:damping=0.1' has nothing to round: the step keeps its matrices as they "
            "are");
  kept.rounding = AdaRounding{};
  EXPECT_THAT(verdict({kept}), HasSubstr("rounding 'adaround' has nothing to round"));
  RecipeStep rotated = transform(HadamardTransform{});
  rotated.rounding = GptqRounding{};
  EXPECT_THAT(verdict({rotated}), HasSubstr("a transform quantizes nothing"));
}

TEST(CheckRecipe, RefusesStepsThatAreNone) {
  EXPECT_THAT(verdict({keep({})}), HasSubstr("step 1: keeps, but names no patterns"));
  RecipeStep both = quantize(NearestRounding{});
  both.transform = EqualizeTransform{};
  EXPECT_THAT(verdict({both}), HasSubstr("quantizes and transforms ('equalize') at once; make it two steps"));
  EXPECT_THAT(verdict({transform(HadamardTransform{}, {"mlp"})}),
              HasSubstr("'hadamard' rewrites the whole model and takes no targets"));
}

// Gradients are those of the model before any block is scaled.
TEST(CheckRecipe, RefusesLevelsThatCannotBeFitted) {
  const auto refusal_of = [](const char* text) -> std::string {
    try {
      parse_short(text);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* text : {"lorc+int4-row+lowrank2-pow4-row", "lorc+int4-row+lowrank2-table4-row"}) {
    EXPECT_THAT(refusal_of(text), HasSubstr("not to the factors of a product")) << text;
  }
  for (const char* text : {"pow4-tensor", "table4-block32x32-mse"}) {
    EXPECT_THAT(refusal_of(text), HasSubstr("with -row and -gN only")) << text;
  }
  EXPECT_NO_THROW(parse_short("table4-g32-mse"));
}

TEST(CheckRecipe, RefusesScalesFoundAfterGradients) {
  const RecipeStep guided = quantize(GptqRounding{.guided = true});
  EXPECT_EQ(
      verdict({transform(SmoothTransform{}), guided}),
      "recipe 'r', step 2: 'gptq:guided' takes gradients of the model before 'smoothquant' scales it; choose one");
  EXPECT_EQ(verdict({transform(HadamardTransform{}), guided}), "");
  EXPECT_EQ(verdict({transform(SmoothTransform{}), quantize(GptqRounding{})}), "");
}

TEST(CheckRecipe, RefusesImportanceOfOutputsThatNothingLooksAt) {
  FpqRounding fpq{.search = FpqRounding::Search::kWeights, .fisher = true};
  RecipeStep step = quantize(fpq);
  step.quantize = parse_target("e2m1-row");
  EXPECT_THAT(verdict({step}), ::testing::HasSubstr("looks at no outputs with search=weights"));
  fpq.fisher = false, step.rounding = fpq;
  EXPECT_EQ(verdict({step}), "");
  step.rounding = FpqRounding{.fisher = true};
  EXPECT_EQ(verdict({step}), "");
}

TEST(CheckRecipe, RefusesTwoScalingsOfTheSameSites) {
  const RecipeStep last = quantize(GptqRounding{});
  const std::string reason =
      "recipe 'r', step 2: 'awq' and 'smoothquant' both scale the channels of the same sites; choose one";
  EXPECT_EQ(verdict({transform(ScaleSearchTransform{}), transform(SmoothTransform{}), last}), reason);
  EXPECT_EQ(verdict({transform(ScaleSearchTransform{}, {"mlp"}), transform(SmoothTransform{}), last}), reason);
  EXPECT_EQ(verdict({transform(ScaleSearchTransform{}, {"q", "mlp"}), transform(SmoothTransform{}, {"mlp"}), last}),
            reason);
  EXPECT_EQ(verdict({transform(ScaleSearchTransform{}, {"mlp"}), transform(SmoothTransform{}, {"attention"}), last}),
            "");
}

TEST(CheckRecipe, RefusesTheSameTransformTwice) {
  const RecipeStep last = quantize(GptqRounding{});
  EXPECT_THAT(verdict({transform(HadamardTransform{}), transform(HadamardTransform{true, false}), last}),
              HasSubstr("step 2: 'hadamard' is given twice"));
  EXPECT_THAT(verdict({transform(SmoothTransform{0.5}), last, transform(SmoothTransform{0.8}, {"mlp"})}),
              HasSubstr("step 3: 'smoothquant' is given twice"));
  EXPECT_EQ(verdict({transform(SmoothTransform{0.5}, {"attention"}), transform(SmoothTransform{0.8}, {"mlp"}), last}),
            "");
}

TEST(CheckRecipe, WantsDataFreeRewritesFirst) {
  const RecipeStep last = quantize(NearestRounding{});
  for (const Transform& scaling : {Transform(SmoothTransform{}), Transform(ScaleSearchTransform{})}) {
    for (const Transform& rewrite : {Transform(HadamardTransform{}), Transform(EqualizeTransform{})}) {
      EXPECT_EQ(verdict({transform(rewrite), transform(scaling), last}), "");
      EXPECT_THAT(verdict({transform(scaling), transform(rewrite), last}),
                  HasSubstr("' must come before '" + to_short(scaling) + "': it would undo scales"));
    }
  }
  EXPECT_EQ(verdict({transform(EqualizeTransform{}), transform(HadamardTransform{}), last}), "");
  EXPECT_EQ(verdict({transform(BiasCorrectionTransform{}), transform(HadamardTransform{}), last}), "")
      << "made afterwards wherever it stands";
}

TEST(CheckRecipe, WantsAFormatForWhatIsAboutRounding) {
  EXPECT_EQ(verdict({transform(ScaleSearchTransform{})}),
            "recipe 'r', step 1: 'awq' is about rounding, but no step quantizes");
  EXPECT_THAT(verdict({transform(BiasCorrectionTransform{}), keep({"q"})}), HasSubstr("'bias-correction' is about"));
  EXPECT_EQ(verdict({transform(HadamardTransform{}), transform(SmoothTransform{})}), "");
}

TEST(CheckRecipe, RefusesValuesOutOfRange) {
  EXPECT_EQ(verdict({quantize(GptqRounding{.damping = 2})}),
            "recipe 'r', step 1: damping of 'gptq' must be a number from 0 to 0.99, found 2");
  EXPECT_THAT(verdict({quantize(GptqRounding{.damping = std::numeric_limits<double>::quiet_NaN()})}),
              HasSubstr("found nan"));
  EXPECT_THAT(verdict({transform(ScaleSearchTransform{0}), quantize(NearestRounding{})}),
              HasSubstr("steps of 'awq' must be an integer from 1 to 1000, found 0"));
}

TEST(CheckRecipe, AllowsWhatLooksOdd) {
  for (const char* text :
       {"gptq+int4-g128-asym", "adaround+int4-g128-asym", "adaround+nf4-g64", "gptq:static-groups+int4-row",
        "smoothquant+int4-g128", "hadamard+equalize+awq+bias-correction+gptaq+int2-g32"}) {
    EXPECT_NO_THROW(parse_short(text)) << text;
  }
}

Needs needs(const char* text) { return needs_of(parse_short(text)); }

TEST(RecipeNeeds, AreThoseOfItsParts) {
  EXPECT_FALSE(needs("int4-g128").any());
  EXPECT_FALSE(needs("hadamard+equalize+int4-g128").any());
  EXPECT_EQ(needs("gptq+int4-g128"), (Needs{.second_moment = true}));
  EXPECT_EQ(needs("gptaq+int4-g128"), (Needs{.second_moment = true, .cross_moment = true}));
  EXPECT_EQ(needs("adaround+int4-g128"), (Needs{.second_moment = true, .cross_moment = true}));
  EXPECT_EQ(needs("smoothquant+int8-row"), (Needs{.range = true}));
  EXPECT_EQ(needs("awq+int8-row"), (Needs{.second_moment = true}));
  EXPECT_EQ(needs("bias-correction+int8-row"), (Needs{.mean = true}));
  EXPECT_EQ(needs("distill+int8-row"), (Needs{.sequences = true}));
  EXPECT_FALSE(needs("int8-row@int8-token").any());
  EXPECT_EQ(needs("int8-row@int8-tensor-mse"), (Needs{.histogram = true}));
  EXPECT_EQ(needs("smoothquant+bias-correction+gptq+int8-row"),
            (Needs{.second_moment = true, .range = true, .mean = true}));
  for (const Needs& one : {Needs{.second_moment = true}, Needs{.cross_moment = true}, Needs{.range = true},
                           Needs{.mean = true}, Needs{.sequences = true}}) {
    EXPECT_TRUE(one.any());
  }
}

TEST(RecipeNeeds, CountEveryStep) {
  const Recipe recipe = parse_recipe(
      "steps: [{quantize: int4-g128}, {quantize: int3-g64, rounding: gptq, targets: down}, {keep: q}]", "r");
  EXPECT_EQ(needs_of(recipe), (Needs{.second_moment = true}));
}

}  // namespace
}  // namespace bitloom
