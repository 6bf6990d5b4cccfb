#include "judge/evaluation_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/overlap.h"
#include "judge/test_models.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kUsual = 96;

TEST(EvaluationText, IsCutAsAsked) {
  testing::Quiet quiet;
  const auto demo = Checkpoint::open(testing::kDemo);
  TextOptions options = testing::short_text();
  const EvaluationText asked = cut_evaluation_text(options, *demo, kUsual, quiet.warn);
  EXPECT_EQ(asked.windows.windows.size(), 2u);
  EXPECT_EQ(asked.windows.scored_tokens, 2 * 63);
  EXPECT_EQ(asked.text.size(), std::filesystem::file_size(options.file));
  options.context = 0;
  EXPECT_EQ(cut_evaluation_text(options, *demo, kUsual, quiet.warn).options.context, kUsual);
  EXPECT_EQ(cut_evaluation_text(options, *demo, 1 << 20, quiet.warn).options.context, demo->graph().max_positions);
  EXPECT_THAT(quiet.warnings, IsEmpty());
  options.context = demo->graph().max_positions + 1;
  cut_evaluation_text(options, *demo, kUsual, quiet.warn);
  EXPECT_THAT(quiet.warnings, ElementsAre(HasSubstr("is longer than the")));
}

TEST(EvaluationText, FiguresComeWithWhatTheyRestOn) {
  testing::Quiet quiet;
  const auto demo = Checkpoint::open(testing::kDemo);
  const EvaluationText text = cut_evaluation_text(testing::short_text(), *demo, kUsual, quiet.warn);
  const Json record = provenance(text, *demo);
  EXPECT_EQ(record.at("context"), 64);
  EXPECT_EQ(record.at("windows"), 2);
  EXPECT_EQ(record.at("tokens"), 126);
  EXPECT_EQ(record.at("protocol"), "gptq");
  EXPECT_EQ(record.at("text_sha256"), text.sha256);
  EXPECT_EQ(record.at("tokenizer_sha256"), demo->tokenizer().hash());
  EXPECT_FALSE(record.contains("calibrated_on_share"));
  EXPECT_EQ(provenance_facts(text, *demo).front(), (std::pair<std::string, std::string>("model", testing::kDemo)));
}

TEST(EvaluationText, WarnsWhereTheModelKnowsTheText) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  const std::string path = dir.file("int4");
  testing::quantize_demo(path, "int4-g32", quiet);
  const TextOptions options = testing::short_text();
  const EvaluationText before = cut_evaluation_text(options, *Checkpoint::open(path), kUsual, quiet.warn);
  EXPECT_FALSE(before.calibrated_on.has_value());
  EXPECT_THAT(quiet.warnings, IsEmpty());

  // As if it had been calibrated on the first of the two windows.
  const std::vector<std::vector<int32_t>> seen = {before.windows.windows.front().tokens};
  testing::edit_json(path + "/bitloom.json",
                     [&](Json& manifest) { manifest["calibration"]["fingerprint"] = to_json(fingerprint(seen)); });
  const auto model = Checkpoint::open(path);
  const EvaluationText text = cut_evaluation_text(options, *model, kUsual, quiet.warn);
  ASSERT_TRUE(text.calibrated_on.has_value());
  // 64 - 15 grams of 128 - 15, none of which occurs twice in so short a text.
  EXPECT_NEAR(*text.calibrated_on, 49.0 / 113.0, 1e-9);
  EXPECT_THAT(quiet.warnings, ElementsAre(HasSubstr(path + " was calibrated on about 43.4 % of this text")));
  EXPECT_EQ(provenance(text, *model).at("calibrated_on_share"), *text.calibrated_on);
}

TEST(TokenMismatch, ComparesWhatTheTokenizersMakeOfTheText) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  const std::string other = dir.file("other"), same = dir.file("same");
  testing::copy_with_other_words(other);
  std::filesystem::copy(testing::kDemo, same, std::filesystem::copy_options::recursive);
  testing::edit_json(same + "/tokenizer.json", [](Json& json) {
    Json& vocabulary = json["model"]["vocab"];  // another tokenizer, but not for this text
    std::swap(vocabulary["~"], vocabulary["|"]);
  });
  const auto demo = Checkpoint::open(testing::kDemo), with_same = Checkpoint::open(same);
  const EvaluationText text = cut_evaluation_text(testing::short_text(), *demo, kUsual, quiet.warn);
  ASSERT_NE(demo->tokenizer().hash(), with_same->tokenizer().hash());
  EXPECT_EQ(token_mismatch(*demo, *demo, text), "");
  EXPECT_EQ(token_mismatch(*demo, *with_same, text), "");
  EXPECT_EQ(token_mismatch(*demo, *Checkpoint::open(other), text),
            std::string(testing::kDemo) + ": its tokenizer and that of the reference " + other +
                " give different tokens for assets/demo/evaluation.txt");
  EXPECT_THAT(token_mismatch(*demo, *Checkpoint::open(testing::golden("forward/llama")), text),
              HasSubstr("but the reference " + testing::golden("forward/llama") + " has "));
}

}  // namespace
}  // namespace bitloom
