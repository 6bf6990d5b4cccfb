#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/pages/compare_page.h"

namespace bitloom {
namespace {

using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

/// A reference and one model of two bits, with one task.
Comparison two_models() {
  Comparison comparison;
  comparison.has_reference_model = true;
  comparison.models.resize(2);
  const std::vector<std::vector<double>> scores = {{1, 1, 1, 0}, {1, 0, 0, 1}};
  for (size_t i = 0; i < 2; ++i) {
    ComparedModel& model = comparison.models[i];
    model.name = i == 0 ? "demo" : "small";
    model.size = {.format = i == 0 ? "BF16" : "int2-g32",
                  .activations = "",
                  .attention = "",
                  .bits_nominal = i == 0 ? 16.0 : 2.5,
                  .bits_true = i == 0 ? 16.0 : 2.5,
                  .bytes = 1 << 20,
                  .bits_model = i == 0 ? 16.5 : 6.5};
    model.perplexity.perplexity = 10;
    model.perplexity.perplexity_low = 9;
    model.perplexity.perplexity_high = 11;
    model.skills = {
        {.task = "t", .metric = "acc", .value = 0.75 - 0.25 * static_cast<double>(i), .right_or_wrong = true}};
    model.skills[0].items = {0, 1, 2, 3};
    model.skills[0].scores = scores[i];
  }
  DivergenceResult kl;
  kl.kl_mean = 0.5, kl.kl_low = 0.25, kl.kl_high = 0.75, kl.kl_p999 = 3, kl.kl_max = 4, kl.top1 = 0.5;
  kl.interval = "Student t over 3 windows";
  comparison.models[1].kl = kl;
  return comparison;
}

TEST(CompareTable, TheReferenceHasNoDivergence) {
  const std::string text = compare_table(two_models(), false).to_text(false);
  EXPECT_THAT(text, ContainsRegex("demo +BF16 +16\\.00 +16\\.00 +16\\.50 +1\\.00 +10\\.00 ± 1\\.0 +- +- +- +- +-\n"));
  EXPECT_THAT(text, ContainsRegex("small +int2-g32 .* 3\\.00 +4\\.00 +50\\.0 % +-\n"));
}

TEST(CompareTable, PerByteHasNoDivergence) {
  Comparison comparison = two_models();
  for (ComparedModel& model : comparison.models) model.perplexity.bits_per_byte = 2, model.perplexity.nll = 2;
  const std::string text = compare_table(comparison, true).to_text(false);
  EXPECT_THAT(text, HasSubstr("bits per byte"));
  EXPECT_THAT(text, Not(HasSubstr("KL")));
}

TEST(SkillTable, PairsEachModelWithTheReference) {
  const std::string text = skill_table(two_models()).to_text(false);
  EXPECT_THAT(text, ContainsRegex("demo +0\\.7500 .* 4 +- +- +- +-\n"));
  EXPECT_THAT(text, ContainsRegex("small +0\\.5000 .* 4 +-0\\.2500 ± .* 2 +1 +1\\.0"));
}

TEST(CompareNotes, TellWhatMakesFiguresDoubtful) {
  ComparePlan plan;
  plan.reference = "demo.ref";
  Comparison comparison = two_models();
  EXPECT_THAT(compare_notes(plan, comparison), Not(Contains(HasSubstr("sketch"))));
  comparison.models[1].kl->kl_error = 0.01;
  comparison.models[1].calibrated_on = 0.25;
  const std::vector<std::string> notes = compare_notes(plan, comparison);
  EXPECT_THAT(notes, Contains("demo.ref is a sketch: it leaves an error of at most ± 0.0400 (4 standard errors) in a "
                              "mean KL."));
  EXPECT_THAT(notes, Contains("small was calibrated on about 25.0 % of this text: its figures flatter it."));
}

}  // namespace
}  // namespace bitloom
