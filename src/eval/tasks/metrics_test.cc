#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "eval/tasks/results.h"

namespace bitloom {
namespace {

ScoredOption option(double log_likelihood, int64_t characters, int64_t bytes) {
  return {{log_likelihood, 1, false}, characters, bytes};
}

std::vector<double> values(const ItemResult& item, const std::vector<std::string>& metrics) {
  std::vector<double> result;
  result.reserve(metrics.size());
  for (const std::string& metric : metrics) result.push_back(item.verdicts.at(metric).value);
  return result;
}

// Three options, of which a different one wins by each measure:
//   sum         -5, -8, -9        0
//   characters  -5/5, -8/10, -9/10 = -1, -0.8, -0.9      1
//   bytes       -5/5, -8/10, -9/30 = -1, -0.8, -0.3      2
TEST(Metrics, ChoicesByEachLength) {
  Task task;
  task.metrics = {"acc", "acc_norm", "acc_bytes"};
  ItemResult item;
  item.options = {option(-5, 5, 5), option(-8, 10, 10), option(-9, 10, 30)};
  for (int64_t gold = 0; gold < 3; ++gold) {
    item.gold = gold;
    judge_options(task, item);
    EXPECT_EQ(values(item, task.metrics),
              (std::vector<double>{gold == 0 ? 1.0 : 0.0, gold == 1 ? 1.0 : 0.0, gold == 2 ? 1.0 : 0.0}));
    EXPECT_EQ(item.verdicts.at("acc").prediction, "0");
    EXPECT_EQ(item.verdicts.at("acc_norm").prediction, "1");
    EXPECT_EQ(item.verdicts.at("acc_bytes").prediction, "2");
  }
}

TEST(Metrics, TheFirstOfEqualOptions) {
  Task task;
  task.metrics = {"acc"};
  ItemResult item;
  item.gold = 1;
  item.options = {option(-7, 1, 1), option(-5, 1, 1), option(-5, 1, 1)};
  judge_options(task, item);
  EXPECT_EQ(item.verdicts.at("acc").prediction, "1");
}

TEST(Metrics, Targets) {
  Task task;
  task.kind = TaskKind::kTarget;
  task.metrics = {"acc", "perplexity"};
  ItemResult item;
  item.options = {{{-2.5, 2, true}}};
  judge_options(task, item);
  EXPECT_EQ(values(item, task.metrics), (std::vector<double>{1, -2.5}));
  item.options[0].likelihood.greedy = false;
  judge_options(task, item);
  EXPECT_EQ(item.verdicts.at("acc").value, 0);
}

struct Answered {
  std::string text, target, strict, flexible;
  double right_strict, right_flexible;
};

// The task's own patterns: the number after #### (the first such), and the last number anywhere.
TEST(Metrics, AnswersInText) {
  const Task task = load_task("gsm8k");
  for (const Answered& one : std::vector<Answered>{{" 5 + 6 = 11.\n#### 11\n\n", "11", "11", "11", 1, 1},
                                                   {"It is $1,234.", "1234", "", "$1,234.", 0, 1},
                                                   {"#### 1,234. And 7", "1234", "1,234.", "7", 1, 0},
                                                   {"#### -3\n#### 4", "-3", "-3", "4", 1, 0},
                                                   {"no number", "4", "", "", 0, 0},
                                                   {"#### 40", "4", "40", "40", 0, 0},
                                                   {"", "4", "", "", 0, 0}}) {
    ItemResult item;
    item.text = one.text, item.target = one.target;
    judge_text(task, item);
    const Verdict& strict = item.verdicts.at("exact_match_strict");
    const Verdict& flexible = item.verdicts.at("exact_match_flexible");
    EXPECT_EQ(strict.prediction, one.strict) << one.text;
    EXPECT_EQ(flexible.prediction, one.flexible) << one.text;
    EXPECT_EQ(strict.value, one.right_strict) << one.text;
    EXPECT_EQ(flexible.value, one.right_flexible) << one.text;
  }
}

ItemResult item_with(const std::string& metric, double value) {
  ItemResult item;
  item.verdicts[metric] = {value, ""};
  return item;
}

// Of 1, 0, 1, 1: mean 3/4, s^2 = (3 * 1/16 + 9/16) / 3 = 1/4, so the error is sqrt(1/4 / 4) = 1/4.
TEST(Metrics, MeansWithStandardErrors) {
  std::vector<ItemResult> items;
  for (const double value : {1, 0, 1, 1}) items.push_back(item_with("acc", value));
  const std::vector<MetricResult> found = summarize(items);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "acc");
  EXPECT_DOUBLE_EQ(found[0].value, 0.75);
  EXPECT_DOUBLE_EQ(found[0].standard_error, 0.25);
  EXPECT_FALSE(std::isfinite(summarize(std::span(items).first(1))[0].standard_error));
  EXPECT_TRUE(summarize({}).empty());
}

// Log-likelihoods -1 and -3: perplexity e^2, s = sqrt(2), error e^2 * sqrt(2) / sqrt(2).
TEST(Metrics, Perplexity) {
  const std::vector<ItemResult> items = {item_with("perplexity", -1), item_with("perplexity", -3)};
  const MetricResult found = summarize(items).at(0);
  EXPECT_DOUBLE_EQ(found.value, std::exp(2));
  EXPECT_DOUBLE_EQ(found.standard_error, std::exp(2));
}

TEST(Results, AsJson) {
  TaskResult result;
  result.task.name = "t", result.data = "d.jsonl", result.style = "plain";
  result.items = {item_with("acc", 1), item_with("acc", 0)};
  result.items[0].index = 4, result.items[0].line = 5, result.items[0].gold = 1;
  result.items[0].options = {option(-2.5, 3, 4)};
  result.metrics = summarize(result.items);
  const Json record = to_json(result);
  EXPECT_EQ(record.at("metrics").at("acc").at("value"), 0.5);
  EXPECT_EQ(record.at("metrics").at("acc").at("n"), 2);
  EXPECT_EQ(record.at("items"), 2);
  const Json item = to_json(result.items[0], "t");
  EXPECT_EQ(item.dump(), R"({"gold":1,"item":4,"line":5,"metrics":{"acc":{"value":1.0}},)"
                         R"("options":[{"bytes":4,"characters":3,"is_greedy":false,"log_likelihood":-2.5,"tokens":1}],)"
                         R"("task":"t"})");
}

}  // namespace
}  // namespace bitloom
