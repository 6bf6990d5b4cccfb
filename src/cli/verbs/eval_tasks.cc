#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/version.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "eval/tasks/prompt/chat_style.h"
#include "eval/tasks/run_task.h"
#include "io/directory/output_file.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "report/table.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, data, items;
  std::vector<std::string> tasks;
  int64_t limit = 0, shots = -1;
  bool chat = false;
};

std::vector<Task> tasks_of(const Flags& flags) {
  if (flags.tasks.empty()) {
    std::vector<std::string> names;
    for (const TaskEntry& task : list_tasks()) names.push_back(task.name);
    misuse("eval tasks: --tasks is required: some of {}", fmt::join(names, ", "));
  }
  std::vector<Task> tasks;
  for (const std::string& name : flags.tasks) tasks.push_back(load_task(name));
  return tasks;
}

std::string cell_of(const MetricResult& metric) {
  return std::isfinite(metric.standard_error) ? fmt::format("{:.4f}", metric.standard_error) : "";
}

Json record_of(const std::vector<TaskResult>& results, const Checkpoint& model) {
  Json record = {{"bitloom", version()},
                 {"model", model.path()},
                 {"tokenizer", model.tokenizer().describe()},
                 {"tokenizer_sha256", model.tokenizer().hash()},
                 {"tasks", Json::array()}};
  for (const TaskResult& result : results) record["tasks"].push_back(to_json(result));
  return record;
}

std::string text_of(const std::vector<TaskResult>& results, const Checkpoint& model, const Session& session) {
  Table table({{"task", Align::kLeft}, {"metric", Align::kLeft}, {"value"}, {"stderr"}, {"items"}, {"shots"}});
  double seconds = 0;
  for (const TaskResult& result : results) {
    seconds += result.seconds;
    for (const MetricResult& metric : result.metrics)
      table.add({result.task.name, metric.name, fmt::format("{:.4f}", metric.value), cell_of(metric),
                 std::to_string(result.items.size()), std::to_string(result.shots)});
  }
  Facts facts = {{"model", model.path()}};
  for (const TaskResult& result : results)
    facts.push_back({"data", fmt::format("{} (sha256 {})", result.data, result.data_sha256.substr(0, 12))});
  facts.push_back({"tokenizer", fmt::format("{} (sha256 {})", model.tokenizer().describe(),
                                            model.tokenizer().hash().substr(0, 12))});
  facts.push_back({"time", format_duration(seconds)});
  return table.to_text(session.bold()) + "\n" + facts_text(facts);
}

void write_items(const std::string& path, const std::vector<TaskResult>& results) {
  std::string text;
  for (const TaskResult& result : results)
    for (const ItemResult& item : result.items) text += to_json(item, result.task.name).dump() + "\n";
  OutputFile file(path);
  file.write_at(0, text);
  file.finish();
}

void evaluate(const Flags& flags, Session& session) {
  const std::vector<Task> tasks = tasks_of(flags);
  TaskOptions options;
  options.data = flags.data, options.limit = flags.limit;
  if (flags.shots >= 0) options.shots = flags.shots;
  for (const Task& task : tasks) find_task_data(task, options.data);  // before the model is read
  const auto model = Checkpoint::open(flags.model, session.warner());
  if (flags.chat) options.style = chat_style(model->chat_template());
  options.end_ids = end_ids(model->graph(), model->tokenizer());
  Decoder decoder(model, session.context().threads);
  const auto logits = logits_of_steps(decoder);
  std::vector<TaskResult> results;
  results.reserve(tasks.size());
  for (const Task& task : tasks)
    results.push_back(run_task(task, *logits, model->tokenizer(), options, session.context()));
  if (!flags.items.empty()) write_items(flags.items, results);
  session.show(record_of(results, *model), text_of(results, *model, session));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("--tasks", flags->tasks, "names of tasks/ or task files, separated by commas")
      ->type_name("A,B")
      ->delimiter(',');
  app.add_option("--data", flags->data, "folder of the tasks' data files (default: the records that come with bitloom)")
      ->type_name("DIR");
  app.add_option("--limit", flags->limit, "only the first N records of each task")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--shots", flags->shots, "solved examples before each item (default: the task's own number)")
      ->type_name("K")
      ->check(integer_from(0));
  app.add_flag("--chat", flags->chat, "prompts as conversations, by the model's chat template");
  app.add_option("--items", flags->items, "write one JSON line per item, with all that scoring saw")->type_name("FILE");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { evaluate(*flags, session); };
}

}  // namespace

Verb eval_tasks_verb() {
  return {"eval tasks",
          "what a model gets right of published tasks",
          "MODEL --tasks A,B [--data DIR] [flags]",
          {"bitloom eval tasks assets/demo --tasks story_endings",
           "bitloom eval tasks model.gguf --tasks piqa,arc_easy --data DIR --limit 200 --items piqa.jsonl"},
          setup};
}

}  // namespace bitloom
