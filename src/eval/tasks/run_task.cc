#include "eval/tasks/run_task.h"

#include <algorithm>
#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "base/install_paths.h"
#include "base/text/text.h"
#include "eval/greedy.h"
#include "eval/scoring.h"
#include "eval/tasks/prompt/unicode_blanks.h"

namespace bitloom {
namespace {

/// What scoring and generation share.
struct Run {
  const Task& task;
  LogitsSource& model;
  const Tokenizer& tokenizer;
  const TaskOptions& options;
  Context& context;
};

std::vector<RequestGroup> requests_of(const Run& run, const std::vector<Item>& items) {
  const ProgressTask progress(run.context.progress, run.task.name + ": tokens", static_cast<int64_t>(items.size()));
  PairEncoder encoder(run.tokenizer, run.model.max_positions(), run.options.style.add_special);
  const std::string delimiter = run.options.style.delimiter ? run.task.delimiter : "";
  std::vector<RequestGroup> groups;
  for (const Item& item : items) {
    RequestGroup group;
    group.cluster = item.shot_set;
    for (const std::string& prompt : item.prompts)
      for (const std::string& continuation : item.continuations)
        group.requests.push_back(encoder.encode(prompt, delimiter + continuation, item.place));
    groups.push_back(std::move(group));
    run.context.progress.advance(1);
  }
  return groups;
}

ItemResult result_of(const Item& item) {
  ItemResult result;
  result.index = item.index, result.line = item.line, result.gold = item.gold, result.target = item.target;
  return result;
}

std::vector<ItemResult> score(const Run& run, const std::vector<Item>& items) {
  const std::vector<RequestGroup> groups = requests_of(run, items);
  const auto likelihoods = log_likelihoods(run.model, groups, run.task.name, run.context);
  std::vector<ItemResult> results;
  for (size_t i = 0; i < items.size(); ++i) {
    ItemResult result = result_of(items[i]);
    for (size_t r = 0; r < likelihoods[i].size(); ++r) {
      ScoredOption option;
      option.likelihood = likelihoods[i][r];
      if (run.task.kind == TaskKind::kChoices) {
        option.characters = count_characters(items[i].continuations[r]);
        option.bytes = static_cast<int64_t>(items[i].continuations[r].size());
      }
      result.options.push_back(option);
    }
    judge_options(run.task, result);
    results.push_back(std::move(result));
  }
  return results;
}

/// The prompt's tokens, the last that leave room for the answer.
std::vector<int32_t> prompt_of(const Run& run, const Item& item) {
  std::vector<int32_t> prompt = run.tokenizer.encode(item.prompts.front(), run.options.style.add_special);
  if (run.model.max_positions() == 0) return prompt;
  const int64_t room = run.model.max_positions() - run.task.max_tokens;
  if (room < 1)
    refuse("{}: {} tokens to generate do not fit the model's context of {}", run.task.file, run.task.max_tokens,
           run.model.max_positions());
  const int64_t surplus = static_cast<int64_t>(prompt.size()) - room;
  if (surplus > 0) prompt.erase(prompt.begin(), prompt.begin() + surplus);
  return prompt;
}

std::vector<ItemResult> generate(const Run& run, const std::vector<Item>& items) {
  const ProgressTask progress(run.context.progress, run.task.name, static_cast<int64_t>(items.size()));
  const GreedyOptions options{run.task.max_tokens, run.options.end_ids, run.task.stops};
  std::vector<ItemResult> results;
  for (const Item& item : items) {
    ItemResult result = result_of(item);
    result.text = greedy(run.model, run.tokenizer, prompt_of(run, item), options, {}).text;
    judge_text(run.task, result);
    results.push_back(std::move(result));
    run.context.progress.advance(1, fmt::format("item {} of {}", results.size(), items.size()));
  }
  return results;
}

}  // namespace

std::string find_task_data(const Task& task, const std::string& folder) {
  const std::vector<std::string> folders =
      folder.empty() ? data_directories("assets/tasks") : std::vector<std::string>{folder};
  for (const std::string& candidate : folders) {
    const std::filesystem::path path = std::filesystem::path(candidate) / task.data;
    if (std::filesystem::is_regular_file(path)) return path.string();
  }
  misuse("task {}: no {} in {}; --data DIR says where a task's data lie", task.name, task.data,
         fmt::join(folders, ", "));
}

TaskResult run_task(const Task& task, LogitsSource& model, const Tokenizer& tokenizer, const TaskOptions& options,
                    Context& context) {
  const Stopwatch watch;
  TaskResult result;
  result.task = task, result.style = options.style.name, result.shots = options.shots.value_or(task.shots);
  const RecordFile file = read_records(find_task_data(task, options.data));
  result.data = file.path, result.data_sha256 = file.sha256;
  const std::vector<Item> items = make_items(task, file.records, options.limit, result.shots, options.style);
  const Run run{task, model, tokenizer, options, context};
  result.items = task.kind == TaskKind::kGenerate ? generate(run, items) : score(run, items);
  result.metrics = summarize(result.items);
  result.seconds = watch.seconds();
  return result;
}

}  // namespace bitloom
