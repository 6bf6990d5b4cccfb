#pragma once
// A task against a model.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/tasks/items.h"
#include "eval/tasks/results.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct TaskOptions {
  std::string data;              // folder of data files; "": assets/tasks of the installation
  int64_t limit = 0;             // records from the file's start; 0: all
  std::optional<int64_t> shots;  // instead of the task's own number
  std::vector<int32_t> end_ids;  // tokens that end generated text
  PromptStyle style = plain_style();
};

/// Where the task's data file is. Error(kUsage) saying where it was looked for, and --data.
std::string find_task_data(const Task& task, const std::string& folder);

/// All items, in order. Use a source that keeps prefixes (logits_of_steps()). Errors as read_records(), make_items(),
/// PairEncoder and log_likelihoods(). Prompts of generation lose tokens on the left when they and max_tokens do not fit
/// the model's positions.
TaskResult run_task(const Task& task, LogitsSource& model, const Tokenizer& tokenizer, const TaskOptions& options,
                    Context& context);

}  // namespace bitloom
