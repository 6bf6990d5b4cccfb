// SmolLM2 on published tasks against PyPI lm_eval with the transformers backend, item by item
// (tests/oracle/eval_tasks.py). The suite takes the first items of every case; with BITLOOM_ALL_ITEMS set all are run.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "base/test_data.h"
#include "eval/tasks/prompt/chat_style.h"
#include "eval/tasks/run_task.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

constexpr size_t kItems = 8, kGenerated = 1;

struct Tally {
  int64_t items = 0, decisions = 0, differ = 0;
  double worst = 0;  // largest difference of log-likelihoods per token
  std::string worst_at;
};

/// The distance between the two best scores of a metric: decisions may differ where it is next to nothing.
double margin_of(const ItemResult& item, const std::string& metric) {
  std::vector<double> scores;
  for (const ScoredOption& option : item.options) {
    const auto length = metric == "acc_norm" ? option.characters : metric == "acc_bytes" ? option.bytes : 1;
    scores.push_back(option.likelihood.log_likelihood / static_cast<double>(length));
  }
  std::sort(scores.rbegin(), scores.rend());
  return scores.size() > 1 ? scores[0] - scores[1] : 0;
}

void compare_decisions(const std::string& where, const ItemResult& item, const Json& golden, Tally& tally) {
  for (const auto& [metric, verdict] : item.verdicts) {
    if (metric == "perplexity") continue;
    ++tally.decisions;
    if (verdict.value == golden.at(metric).get<double>()) continue;
    ++tally.differ;
    std::cout << "differs: " << where << ", " << metric << ", the two scores are " << margin_of(item, metric)
              << " apart\n";
    EXPECT_LT(margin_of(item, metric), 1e-4) << where << ", " << metric;
  }
}

void compare_item(const std::string& where, const ItemResult& item, const Json& golden, Tally& tally) {
  ++tally.items;
  compare_decisions(where, item, golden, tally);
  if (golden.contains("text")) {
    EXPECT_EQ(item.text, golden.at("text").get<std::string>()) << where;
    return;
  }
  const Json& expected = golden.at("log_likelihoods");
  ASSERT_EQ(item.options.size(), expected.size()) << where;
  for (size_t i = 0; i < item.options.size(); ++i) {
    const Likelihood& ours = item.options[i].likelihood;
    const double difference = std::abs(ours.log_likelihood - expected[i].get<double>());
    if (difference / static_cast<double>(ours.tokens) > tally.worst) {
      tally.worst = difference / static_cast<double>(ours.tokens);
      tally.worst_at = where + ", option " + std::to_string(i);
    }
    EXPECT_EQ(ours.greedy, golden.at("is_greedy")[i].get<bool>()) << where << ", option " << i;
  }
}

double mean_likelihood(const Json& items, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += items[i].at("log_likelihoods")[0].get<double>();
  return sum / static_cast<double>(count);
}

class TaskParity : public ::testing::Test {
 protected:
  void run_case(const Json& golden, LogitsSource& model, const Checkpoint& checkpoint, Tally& tally) {
    const Json& items = golden.at("items");
    Task task = load_task(golden.at("task"));
    const bool generated = task.kind == TaskKind::kGenerate;
    if (generated) task.max_tokens = golden.at("max_tokens");
    const bool all = std::getenv("BITLOOM_ALL_ITEMS") != nullptr;
    const size_t count = all ? items.size() : std::min(items.size(), generated ? kGenerated : kItems);
    TaskOptions options;
    options.data = testing::shared_path("data/tasks");
    options.limit = static_cast<int64_t>(count);
    options.shots = golden.at("shots").get<int64_t>();
    options.end_ids = {*checkpoint.tokenizer().eos_id()};
    if (golden.at("prompt") == "chat") options.style = chat_style(checkpoint.chat_template());
    const TaskResult result = run_task(task, model, checkpoint.tokenizer(), options, context_);
    ASSERT_EQ(result.items.size(), count);
    for (size_t i = 0; i < count; ++i)
      compare_item(task.name + " (" + result.style + "), item " + std::to_string(i), result.items[i], items[i], tally);
    for (const MetricResult& metric : result.metrics) {
      if (metric.name == "perplexity") {
        EXPECT_NEAR(metric.value, std::exp(-mean_likelihood(items, count)), 1e-3);
      }
      if (count == items.size()) {
        std::cout << task.name << " after " << result.shots << " shots: " << metric.name << " " << metric.value
                  << ", lm_eval " << golden.at("figures").at(metric.name) << "\n";
      }
    }
  }

  ThreadPool pool_;
  Progress silent_;
  Context context_{pool_, silent_};
};

TEST_F(TaskParity, ItemByItem) {
  BITLOOM_REQUIRE_SMOLLM2();
  BITLOOM_REQUIRE_SHARED("data/tasks");
  const auto checkpoint = Checkpoint::open(testing::smollm2_path());
  Decoder decoder(checkpoint, pool_);
  const auto model = logits_of_steps(decoder);
  Tally tally;
  for (const Json& golden : read_json(testing::golden("eval/tasks.json"))) run_case(golden, *model, *checkpoint, tally);
  std::cout << tally.items << " items, " << tally.decisions << " decisions, " << tally.differ
            << " differ; log-likelihoods differ by at most " << tally.worst << " a token (" << tally.worst_at << ")\n";
  EXPECT_LE(tally.differ * 400, tally.items);
  // Two fp32 executions of 30 layers: logits of about 20 that differ in the last bits of every sum.
  EXPECT_LT(tally.worst, 1e-3);
}

}  // namespace
}  // namespace bitloom
