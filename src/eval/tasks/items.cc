#include "eval/tasks/items.h"

#include <map>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

/// The options of a record of kind choices or contexts, none of them empty.
std::vector<std::string> options_of(const Task& task, const Record& record) {
  std::vector<std::string> options = task.options.render(record);
  const char* what = task.kind == TaskKind::kChoices ? "choice" : "context";
  if (options.empty()) refuse("{}: no {}s", record.place(), what);
  for (size_t i = 0; i < options.size(); ++i)
    if (options[i].empty()) refuse("{}: {} {} is empty", record.place(), what, i);
  return options;
}

size_t gold_of(const Task& task, const Record& record, size_t options) {
  const std::string text = task.gold.render(record);
  const auto gold = parse_number<int64_t>(text);
  if (!gold || *gold < 0 || *gold >= static_cast<int64_t>(options))
    refuse("{}: gold is '{}', must be a number from 0 to {}", record.place(), text, options - 1);
  return static_cast<size_t>(*gold);
}

std::string target_of(const Task& task, const Record& record) {
  std::string target = task.target.render(record);
  if (target.empty()) refuse("{}: the target is empty", record.place());
  return target;
}

/// A record with its answer.
Shot shot_of(const Task& task, const Record& record) {
  switch (task.kind) {
    case TaskKind::kChoices: {
      const std::vector<std::string> choices = options_of(task, record);
      return {task.context.render(record), choices[gold_of(task, record, choices.size())]};
    }
    case TaskKind::kContexts: {
      const std::vector<std::string> contexts = options_of(task, record);
      return {contexts[gold_of(task, record, contexts.size())], target_of(task, record)};
    }
    case TaskKind::kTarget:
      return {task.context.render(record), target_of(task, record)};
    case TaskKind::kGenerate:
      return {task.context.render(record), task.shot.render(record)};
  }
  return {};
}

/// The contexts of a record; sets the item's continuations and what is right.
std::vector<std::string> ask(const Task& task, const Record& record, Item& item) {
  const bool choices = task.kind == TaskKind::kChoices, contexts = task.kind == TaskKind::kContexts;
  if (!choices) item.target = target_of(task, record);
  if (contexts || task.kind == TaskKind::kTarget) item.continuations = {item.target};
  if (!choices && !contexts) return {task.context.render(record)};
  std::vector<std::string> options = options_of(task, record);
  item.gold = static_cast<int64_t>(gold_of(task, record, options.size()));
  if (contexts) return options;
  item.continuations = std::move(options);
  return {task.context.render(record)};
}

/// Indices of the first `count` records that are not the item's.
std::vector<size_t> shots_for(std::span<const Record> records, size_t item, int64_t count) {
  std::vector<size_t> result;
  for (size_t i = 0; i < records.size() && static_cast<int64_t>(result.size()) < count; ++i)
    if (i != item && !records[i].same_fields(records[item])) result.push_back(i);
  if (static_cast<int64_t>(result.size()) < count)
    refuse("{}: {} shots for this record, the file has only {} others", records[item].place(), count, result.size());
  return result;
}

}  // namespace

PromptStyle plain_style() {
  PromptStyle style;
  style.render = [](const Question& question, const Task& task) {
    std::string text = question.preamble;
    for (const Shot& shot : question.shots) text += shot.question + task.delimiter + shot.answer + task.separator;
    return text + question.text;
  };
  return style;
}

std::vector<Item> make_items(const Task& task, std::span<const Record> records, int64_t limit, int64_t shots,
                             const PromptStyle& style) {
  std::vector<Item> items;
  std::map<std::vector<size_t>, int64_t> sets;
  for (size_t i = 0; i < records.size() && (limit == 0 || static_cast<int64_t>(i) < limit); ++i) {
    const Record& record = records[i];
    Item item;
    item.index = static_cast<int64_t>(i), item.place = record.place(), item.line = record.line();
    const std::vector<size_t> examples = shots_for(records, i, shots);
    item.shot_set = sets.emplace(examples, sets.size()).first->second;
    Question question{task.preamble, {}, {}};
    for (const size_t example : examples) question.shots.push_back(shot_of(task, records[example]));
    for (std::string& context : ask(task, record, item)) {
      question.text = std::move(context);
      item.prompts.push_back(style.render(question, task));
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace bitloom
