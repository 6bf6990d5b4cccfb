#include "judge/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "judge/runner.h"
#include "judge/test_models.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Compared : public ::testing::Test {
 protected:
  Compared() {
    testing::quantize_demo(two_, "int2-g32", quiet_);
    testing::quantize_demo(eight_, "int8-row", quiet_);
    quiet_.lines.clear();
  }

  ComparePlan plan(std::vector<std::string> models, const std::string& reference) const {
    ComparePlan plan;
    plan.models = std::move(models);
    plan.reference = reference;
    plan.text = testing::short_text();
    plan.speed_tokens = 0;
    return plan;
  }
  Comparison compare(const ComparePlan& plan) { return compare_models(plan, quiet_.context, quiet_.warn); }
  std::string refusal(ErrorKind kind, const ComparePlan& plan) {
    return testing::message_of(kind, [&] { compare(plan); });
  }

  testing::Quiet quiet_;
  testing::TempDir dir_;
  const std::string two_ = dir_.file("two"), eight_ = dir_.file("eight");
};

TEST_F(Compared, FiguresAreThoseOfEachModelAlone) {
  const Comparison all = compare(plan({two_, eight_}, testing::kDemo));
  ASSERT_EQ(all.models.size(), 3u);
  EXPECT_TRUE(all.has_reference_model);
  const Runner original = make_runner(Checkpoint::open(testing::kDemo), quiet_.context.threads);
  EXPECT_EQ(all.models[0].name, "demo");
  EXPECT_FALSE(all.models[0].kl.has_value());
  EXPECT_EQ(all.models[0].perplexity.perplexity,
            perplexity(*original.logits, all.text.windows, quiet_.context).perplexity);
  for (size_t i = 1; i < 3; ++i) {
    const ComparedModel& model = all.models[i];
    const Runner alone = make_runner(Checkpoint::open(model.path), quiet_.context.threads);
    const DivergenceResult kl = divergence(*original.logits, *alone.logits, all.text.windows, quiet_.context);
    ASSERT_TRUE(model.kl.has_value());
    EXPECT_EQ(model.kl->kl_mean, kl.kl_mean);
    EXPECT_EQ(model.kl->kl_max, kl.kl_max);
    EXPECT_EQ(model.perplexity.nll, kl.nll);
    EXPECT_EQ(model.tokens_per_second, 0);  // not asked for
  }
  EXPECT_EQ(all.models[1].size.format, "int2-g32");
  EXPECT_EQ(all.models[1].manifest.at("recipe").at("name"), "int2-g32");
  EXPECT_GT(all.models[1].kl->kl_mean, all.models[2].kl->kl_mean);
  EXPECT_THAT(quiet_.lines, ElementsAre("[1/3] demo", "[2/3] two", "[3/3] eight"));
}

double mean_kl(const JudgedSpan& judged) {
  double sum = 0;
  for (const RowDivergence& row : judged.rows) sum += row.kl;
  return sum / static_cast<double>(judged.rows.size());
}

TEST_F(Compared, PassagesAreTheOpeningAndTheWorst) {
  const Comparison all = compare(plan({two_}, testing::kDemo));
  const ComparedModel& model = all.models.back();
  EXPECT_EQ(model.opening.span.window, 0);
  EXPECT_EQ(model.opening.span.first, 1);
  EXPECT_EQ(model.opening.rows.size(), 63u);  // the window is shorter than an opening
  EXPECT_NEAR(model.opening.span.kl, mean_kl(model.opening), 1e-12);
  ASSERT_EQ(model.worst.size(), 4u);  // two of 24 tokens fit into a window
  for (size_t i = 0; i < model.worst.size(); ++i) {
    EXPECT_NEAR(model.worst[i].span.kl, mean_kl(model.worst[i]), 1e-12);
    if (i > 0) {
      EXPECT_GE(model.worst[i - 1].span.kl, model.worst[i].span.kl);
    }
  }
  EXPECT_EQ(model.by_position.front().first, 1);
  EXPECT_EQ(model.by_position.back().last, 63);
}

TEST_F(Compared, AReferenceMayBeAFile) {
  const auto demo = Checkpoint::open(testing::kDemo);
  const Runner original = make_runner(demo, quiet_.context.threads);
  const EvaluationText text = cut_evaluation_text(testing::short_text(), *demo, 64, quiet_.warn);
  write_reference(dir_.file("demo.ref"), *original.logits, text.windows, demo->tokenizer().hash(), text.sha256,
                  quiet_.context);
  const Comparison with_file = compare(plan({two_}, dir_.file("demo.ref")));
  const Comparison with_model = compare(plan({two_}, testing::kDemo));
  ASSERT_EQ(with_file.models.size(), 1u);
  EXPECT_FALSE(with_file.has_reference_model);
  // The file's log-probabilities have a precision of their own (eval/reference/format.h).
  EXPECT_NEAR(with_file.models[0].kl->kl_mean, with_model.models[1].kl->kl_mean, 1e-3);
  EXPECT_EQ(with_file.models[0].perplexity.nll, with_model.models[1].perplexity.nll);
}

TEST_F(Compared, PerByteJudgesEachAlone) {
  std::filesystem::create_directories(dir_.file("text"));
  testing::write_file(dir_.file("text/short.txt"), "Once upon a time there was a little dog. He was happy.");
  ComparePlan alone = plan({testing::kDemo, two_}, "");
  alone.per_byte = true;
  alone.text.file = dir_.file("text/short.txt");
  alone.text.windows = 0;
  const Comparison all = compare(alone);
  ASSERT_EQ(all.models.size(), 2u);
  for (const ComparedModel& model : all.models) {
    EXPECT_FALSE(model.kl.has_value());
    EXPECT_GT(model.perplexity.bits_per_byte, 0);
  }
  const Json record = to_json(alone, all);
  EXPECT_FALSE(record.contains("tokenizer"));  // each model has its own
  EXPECT_EQ(record.at("models")[1].at("bits_per_byte"), all.models[1].perplexity.bits_per_byte);
}

TEST_F(Compared, NamesArePathsWhereTheyWouldBeTheSame) {
  std::filesystem::create_directories(dir_.file("other"));
  testing::quantize_demo(dir_.file("other/two"), "int2-g32", quiet_);
  const Comparison all = compare(plan({two_, dir_.file("other/two"), eight_}, testing::kDemo));
  std::vector<std::string> names;
  for (const ComparedModel& model : all.models) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("demo", two_, dir_.file("other/two"), "eight"));
}

TEST_F(Compared, TheRecordHoldsProvenanceAndEveryModel) {
  ComparePlan with_tasks = plan({two_}, testing::kDemo);
  with_tasks.skills = {.tasks = {"story_endings"}, .data = "", .digits = "", .limit = 5};
  const Comparison all = compare(with_tasks);
  const Json record = to_json(with_tasks, all);
  EXPECT_EQ(record.at("ref"), testing::kDemo);
  EXPECT_EQ(record.at("context"), 64);
  EXPECT_FALSE(record.contains("model"));
  const Json& model = record.at("models")[1];
  EXPECT_EQ(model.at("kl_mean"), all.models[1].kl->kl_mean);
  EXPECT_EQ(model.at("bits_true"), 2.5);
  const JudgedSpan& worst = all.models[1].worst.front();
  const std::vector<int32_t>& tokens = all.text.windows.windows[static_cast<size_t>(worst.span.window)].tokens;
  EXPECT_EQ(
      model.at("worst")[0].at("text"),
      all.reader->tokenizer().decode(std::span(tokens).subspan(static_cast<size_t>(worst.span.first), 24), false));
  const Json& task = model.at("tasks")[0];
  const Json& reference_task = record.at("models")[0].at("tasks")[0];
  EXPECT_FALSE(reference_task.contains("difference"));
  EXPECT_NEAR(task.at("difference").get<double>(),
              task.at("value").get<double>() - reference_task.at("value").get<double>(), 1e-12);
  EXPECT_EQ(reference_skill(all, all.models[0], 0), nullptr);
  EXPECT_EQ(reference_skill(all, all.models[1], 0), &all.models[0].skills[0]);
}

TEST_F(Compared, RefusesWhatCannotBeCompared) {
  testing::copy_with_other_words(dir_.file("words"));
  EXPECT_THAT(refusal(ErrorKind::kRefused, plan({dir_.file("words")}, testing::kDemo)),
              HasSubstr("--per-byte compares bits per byte of text instead"));
  EXPECT_EQ(refusal(ErrorKind::kUsage, plan({}, testing::kDemo)), "compare: no MODEL");
  EXPECT_THAT(refusal(ErrorKind::kUsage, plan({two_}, "")), HasSubstr("--ref MODEL or FILE is required"));
  ComparePlan windows = plan({two_}, "");
  windows.per_byte = true;
  EXPECT_THAT(refusal(ErrorKind::kUsage, windows), HasSubstr("--windows 2"));
  EXPECT_THAT(quiet_.lines, ::testing::IsEmpty());  // before any model ran
}

}  // namespace
}  // namespace bitloom
