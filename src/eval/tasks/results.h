#pragma once
// What a task found: per item everything that scoring saw, and the task's figures with their standard errors.

#include <map>
#include <string>
#include <vector>

#include "eval/tasks/likelihoods.h"
#include "eval/tasks/task.h"
#include "io/json.h"

namespace bitloom {

/// One continuation as it was scored.
struct ScoredOption {
  Likelihood likelihood;
  int64_t characters = 0, bytes = 0;  // of the option's text, without the delimiter; 0: not counted
};

/// One metric of one item.
struct Verdict {
  double value = 0;        // 1 or 0 for right or wrong; perplexity: the log-likelihood
  std::string prediction;  // number of the option, or the answer found in the text; "" where there is none
};

struct ItemResult {
  int64_t index = 0;  // of the record, from 0 on
  int64_t line = 0;   // of the data file, from 1 on
  int64_t gold = -1;
  std::string target;
  std::vector<ScoredOption> options;  // choices, contexts: one each; target: one; generate: none
  std::string text;                   // generate
  std::map<std::string, Verdict> verdicts;
};

struct MetricResult {
  std::string name;
  double value = 0;
  double standard_error = 0;  // not finite for a single item
};

struct TaskResult {
  Task task;
  std::string data, data_sha256, style;
  int64_t shots = 0;
  std::vector<ItemResult> items;
  std::vector<MetricResult> metrics;
  double seconds = 0;
};

/// Judges the options (verdicts of choices, contexts, target) by the formulas of metrics.cc.
void judge_options(const Task& task, ItemResult& item);
/// Judges the text (verdicts of generate).
void judge_text(const Task& task, ItemResult& item);

/// Mean over the items with s / sqrt(n), s the sample's standard deviation; perplexity is exp(-mean), its error by the
/// delta method: perplexity * s / sqrt(n).
std::vector<MetricResult> summarize(std::span<const ItemResult> items);

/// One task's record of --json.
Json to_json(const TaskResult& result);
/// One line of --items.
Json to_json(const ItemResult& item, const std::string& task);

}  // namespace bitloom
