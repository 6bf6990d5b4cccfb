#include "judge/skills.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "judge/test_models.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Skill right_or_wrong(std::vector<double> scores) {
  Skill skill{.task = "t", .metric = "acc", .right_or_wrong = true};
  for (size_t i = 0; i < scores.size(); ++i) skill.items.push_back(static_cast<int64_t>(i));
  skill.scores = std::move(scores);
  return skill;
}

TEST(PairedSkill, CountsWhatWasLostAndWon) {
  const PairedSkill paired = pair_skills(right_or_wrong({1, 1, 1, 0, 0}), right_or_wrong({1, 0, 0, 1, 0}));
  EXPECT_DOUBLE_EQ(paired.difference.mean, -0.2);
  ASSERT_TRUE(paired.answers.has_value());
  EXPECT_EQ(paired.answers->only_reference, 2);
  EXPECT_EQ(paired.answers->only_model, 1);
}

TEST(PairedSkill, LikelihoodsAreNoAnswers) {
  Skill reference = right_or_wrong({-1.5, -2.5}), model = right_or_wrong({-2.0, -3.0});
  reference.right_or_wrong = model.right_or_wrong = false;
  const PairedSkill paired = pair_skills(reference, model);
  EXPECT_DOUBLE_EQ(paired.difference.mean, -0.5);
  EXPECT_FALSE(paired.answers.has_value());
}

TEST(PairedSkill, IsOfTheSameItems) {
  Skill other = right_or_wrong({1, 0});
  other.items = {0, 2};
  EXPECT_THAT(testing::message_of(ErrorKind::kFailed,
                                  [&] {
                                    pair_skills(right_or_wrong({1, 0}), other);
                                  }),
              HasSubstr("not of the same items"));
}

SkillPlan plan_of(std::vector<std::string> tasks, const std::string& digits) {
  return {.tasks = std::move(tasks), .data = "", .digits = digits, .limit = 5};
}

TEST(SkillTest, JudgesTasksAndThenAddition) {
  testing::Quiet quiet;
  const auto demo = Checkpoint::open(testing::kDemo);
  Decoder decoder(demo, quiet.context.threads);
  const SkillTest test(plan_of({"story_endings"}, "1-2"));
  const std::vector<Skill> skills = test.judge(*demo, decoder, quiet.context);

  const auto logits = logits_of_steps(decoder);
  TaskOptions options;
  options.limit = 5;
  options.end_ids = end_ids(demo->graph(), demo->tokenizer());
  const TaskResult alone = run_task(load_task("story_endings"), *logits, demo->tokenizer(), options, quiet.context);
  ASSERT_EQ(skills.size(), alone.metrics.size() + 1);
  for (size_t i = 0; i < alone.metrics.size(); ++i) {
    EXPECT_EQ(skills[i].task, "story_endings");
    EXPECT_EQ(skills[i].metric, alone.metrics[i].name);
    EXPECT_EQ(skills[i].value, alone.metrics[i].value);
    EXPECT_EQ(skills[i].standard_error, alone.metrics[i].standard_error);
    double sum = 0;
    for (const double score : skills[i].scores) sum += score;
    EXPECT_DOUBLE_EQ(sum / 5, skills[i].value);
  }
  EXPECT_EQ(skills.back().task, "addition 1-2");
  EXPECT_TRUE(skills.back().right_or_wrong);
  EXPECT_THAT(skills.back().items, ElementsAre(0, 1, 2, 3, 4));
}

TEST(SkillTest, WithoutAPlanAsksNothing) {
  testing::Quiet quiet;
  const auto demo = Checkpoint::open(testing::kDemo);
  Decoder decoder(demo, quiet.context.threads);
  EXPECT_TRUE(SkillTest({}).judge(*demo, decoder, quiet.context).empty());
}

TEST(SkillTest, RefusesBeforeAnyModelRuns) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { SkillTest(plan_of({"story_ending"}, "")); }),
              HasSubstr("story_endings"));
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [] { SkillTest(plan_of({}, "1-x")); }),
            "--arithmetic 1-x: a number of digits, or two as in 7-9");
}

}  // namespace
}  // namespace bitloom
