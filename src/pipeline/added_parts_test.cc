// A program with one base family and one method more than the library has: format/toy_family.h and round/toy_method.h
// hold all of each, and the two lists below get one row each. Nothing else in the tree knows them, and both go through
// recipes, quantize with and without data, interrupted runs, files, verify and evaluation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "eval/perplexity.h"
#include "format/families/codebook/codebook_storage.h"
#include "format/families/grid/grid_storage.h"
#include "format/toy_family.h"
#include "pipeline/walk_test_support.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"
#include "round/toy_method.h"

namespace bitloom {

/// In place of the library's list (format/families/families.cc).
std::span<const FamilyRow* const> base_families() {
  static constexpr const FamilyRow* kFamilies[] = {&testing::kSignFamily, &kCodebookFamily, &kGridFamily};
  return kFamilies;
}

/// In place of the library's list (round/methods.cc).
std::span<const RoundingRow* const> rounding_methods() {
  static constexpr const RoundingRow* kMethods[] = {&kNearestMethod, &kGptqMethod, &testing::kSignsMethod};
  return kMethods;
}

namespace {

using testing::golden_model;
using ::testing::HasSubstr;
using testing::kDemo;
using testing::message_of;
using testing::SignsRounding;
using testing::SignStorage;
using testing::TempDir;

TEST(AddedParts, RecipesReadPrintAndCheckThem) {
  const Recipe recipe = load_recipe("signs:weighted+sign");
  EXPECT_EQ(recipe.steps[0].rounding, Rounding(SignsRounding{.weighted = true}));
  EXPECT_EQ(recipe.steps[0].storage().base, BaseStorage(SignStorage{}));
  EXPECT_EQ(to_short(recipe), "signs:weighted+sign");
  EXPECT_EQ(parse_recipe(to_yaml(recipe), "mine.yaml"), recipe);
  EXPECT_EQ(needs_of(recipe), Needs{.second_moment = true});
  EXPECT_FALSE(needs_of(load_recipe("signs+sign")).any());
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { load_recipe("gptq+sign"); }),
              HasSubstr("'gptq' cannot choose codes of sign: 'signs' can"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [] { load_recipe("signs+int4-g32"); }),
              HasSubstr("'signs' cannot choose codes of int4-g32: 'nearest', 'gptq' can"));
}

/// Each matrix of the blocks as the method makes it, without any of the pipeline.
void expect_signs(const Checkpoint& source, const Checkpoint& quantized) {
  for (const Site& site : linear_sites(source.graph())) {
    const RowSourcePtr w = source.matrix(*site.linear), q = quantized.matrix(*site.linear);
    EXPECT_EQ(q->storage(), "sign");
    const std::vector<std::vector<std::byte>> bytes = testing::pack_signs(w->decode_all().data(), w->rows(), w->cols());
    EXPECT_EQ(q->decode_all(), stored_from_bytes("w", parse_storage("sign"), w->rows(), w->cols(), bytes)->decode_all())
        << site.linear->weight;
  }
}

double perplexity_of_model(const std::string& path) {
  ThreadPool pool(2);
  Progress silent;
  Context context{pool, silent};
  const auto model = Checkpoint::open(path);
  Decoder decoder(model, pool);
  const TextWindows windows = cut_windows("Once upon a time there was a small house beside a river. ",
                                          model->tokenizer(), {.protocol = Protocol::kRolling, .context = 32});
  return perplexity(*logits_of(decoder), windows, context).perplexity;
}

TEST(AddedParts, GoThroughQuantizeSaveLoadVerifyAndEvaluation) {
  const TempDir dir;
  const std::string out = dir.file("out");
  const QuantizeResult result = testing::quantize(kDemo, out, "signs+sign");
  EXPECT_FALSE(result.sites.empty());
  for (const SiteRecord& site : result.sites) {
    EXPECT_EQ(site.storage, "sign");
    EXPECT_EQ(site.rounding, "signs");
    EXPECT_NEAR(site.bits_true, 1 + 16.0 / static_cast<double>(site.cols), 0.2) << site.name;
  }
  EXPECT_FALSE(testing::verify(out).empty());
  const auto source = Checkpoint::open(kDemo), quantized = Checkpoint::open(out);
  expect_signs(*source, *quantized);
  const double perplexity = perplexity_of_model(out);
  EXPECT_TRUE(std::isfinite(perplexity));
  EXPECT_NE(perplexity, perplexity_of_model(kDemo));
}

TEST(AddedParts, AreWalkedWithDataAndResumedLikeAnyOther) {
  const TempDir dir;
  testing::CalibratedRun run{golden_model("llama"), "signs:weighted+sign",
                             testing::three_chunks(golden_model("llama"))};
  run.into(dir.file("whole"));
  EXPECT_FALSE(testing::verify(dir.file("whole")).empty());
  testing::Listener stopped(12);
  try {
    run.into(dir.file("resumed"), stopped);
    FAIL() << "not stopped";
  } catch (const std::runtime_error&) {
  }
  run.into(dir.file("resumed"));
  testing::expect_same_files(testing::files_of(dir.file("whole")), testing::files_of(dir.file("resumed")), "resumed");
  // The weighted magnitudes differ from the plain ones.
  testing::quantize(golden_model("llama"), dir.file("plain"), "signs+sign");
  const auto weighted = Checkpoint::open(dir.file("whole")), plain = Checkpoint::open(dir.file("plain"));
  const Site site = linear_sites(plain->graph()).front();
  EXPECT_NE(weighted->matrix(*site.linear)->decode_all(), plain->matrix(*site.linear)->decode_all());
}

}  // namespace
}  // namespace bitloom
