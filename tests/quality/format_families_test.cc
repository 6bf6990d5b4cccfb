// Every format family on every real model: quantize, open, compare with the original, generate; and inside a family,
// more bits are closer to the original.

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/test_data.h"
#include "eval/divergence.h"
#include "eval/windows.h"
#include "forward/decoder.h"
#include "io/text_data.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "runtime/generate.h"
#include "test_models.h"

namespace bitloom {
namespace {

using testing::QualityModel;

/// From more bits to fewer, everything else alike.
struct Family {
  std::string name;
  std::vector<std::string> recipes;
};

const std::vector<Family>& families() {
  static const std::vector<Family> list = {
      {"int", {"int8-g32", "int6-g32", "int5-g32", "int4-g32", "int3-g32", "int2-g32"}},
      {"int_asym", {"int8-g32-asym", "int4-g32-asym", "int3-g32-asym", "int2-g32-asym"}},
      {"minifloat", {"e4m3fn-row", "e3m2-row", "e2m2-row", "e2m1-row", "e1m1-row"}},
      // mxfp8e4m3 is no member: with the standard's floor rule it is not closer than mxfp6e2m3. Both have three
      // mantissa bits, and a block's largest weights saturate at 448 / 512 of their binade there, at 7.5 / 8 here.
      {"mx", {"mxint8", "mxfp6e2m3", "mxfp4"}},
      {"fp4_blocks", {"mxfp8e4m3", "nvfp4"}},
      {"table", {"nf4-g32", "table[-1;-0.3;0.3;1]-g32"}},
  };
  return list;
}

void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

class FormatFamilies : public ::testing::TestWithParam<std::tuple<QualityModel, Family>> {};

TEST_P(FormatFamilies, MoreBitsAreCloserToTheOriginalAndEveryResultRuns) {
  const auto& [model, family] = GetParam();
  if (model.path.empty()) GTEST_SKIP() << "needs ../shared, or SmolLM2 (tools/get_smollm2.sh)";
  ThreadPool threads(2);
  Progress silent;
  Context context{threads, silent};
  const auto original = Checkpoint::open(model.path);
  Decoder reference(original, threads);
  WindowOptions options;
  options.context = model.context;
  options.max_windows = model.windows;
  const TextWindows windows = cut_windows(read_text_data(model.text, TextFormat{}), original->tokenizer(), options);
  const testing::TempDir temp;
  double closer = 0;
  for (const std::string& recipe : family.recipes) {
    const std::string out = temp.file(recipe);
    quantize_model(make_task(original, load_recipe(recipe), {}, context.threads), out, context);
    const auto quantized = Checkpoint::open(out);
    Decoder decoder(quantized, threads);
    const auto reference_logits = logits_of(reference), logits = logits_of(decoder);
    const DivergenceResult result = divergence(*reference_logits, *logits, windows, context);
    EXPECT_GT(result.kl_mean, closer) << recipe;
    closer = result.kl_mean;
    GenerateOptions generation;
    generation.max_tokens = 4;
    const GenerateResult text =
        generate(decoder, quantized->tokenizer(), "Once upon a time", generation, [](const std::string&) {});
    EXPECT_GE(text.ids.size(), 1u) << recipe;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FormatFamilies,
                         ::testing::Combine(::testing::ValuesIn(testing::quality_models()),
                                            ::testing::ValuesIn(families())),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace bitloom
