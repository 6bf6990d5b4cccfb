#include "eval/tasks/results.h"

namespace bitloom {

Json to_json(const TaskResult& result) {
  Json metrics = Json::object();
  for (const MetricResult& metric : result.metrics)
    metrics[metric.name] = {{"value", metric.value}, {"stderr", metric.standard_error}, {"n", result.items.size()}};
  return {{"task", result.task.name},     {"task_sha256", result.task.sha256},
          {"data", result.data},          {"data_sha256", result.data_sha256},
          {"prompt", result.style},       {"shots", result.shots},
          {"items", result.items.size()}, {"metrics", metrics},
          {"seconds", result.seconds}};
}

Json to_json(const ItemResult& item, const std::string& task) {
  Json out = {{"task", task}, {"item", item.index}, {"line", item.line}};
  if (item.gold >= 0) out["gold"] = item.gold;
  if (!item.target.empty()) out["target"] = item.target;
  if (item.gold < 0 && item.options.empty()) out["text"] = item.text;
  for (const ScoredOption& option : item.options) {
    Json one = {{"log_likelihood", option.likelihood.log_likelihood},
                {"tokens", option.likelihood.tokens},
                {"is_greedy", option.likelihood.greedy}};
    if (option.characters > 0) one["characters"] = option.characters, one["bytes"] = option.bytes;
    out["options"].push_back(one);
  }
  for (const auto& [metric, verdict] : item.verdicts) {
    out["metrics"][metric]["value"] = verdict.value;
    if (!verdict.prediction.empty()) out["metrics"][metric]["prediction"] = verdict.prediction;
  }
  return out;
}

}  // namespace bitloom
