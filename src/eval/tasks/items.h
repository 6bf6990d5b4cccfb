#pragma once
// From a record to what the model is asked: texts, before any tokenizer.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "eval/tasks/task.h"

namespace bitloom {

/// A solved example.
struct Shot {
  std::string question, answer;
};

/// What an item's prompt is made of.
struct Question {
  std::string preamble;
  std::vector<Shot> shots;
  std::string text;
};

/// How prompts are written. By default: preamble, then every shot as question, delimiter, answer and separator, then
/// the text; the continuation begins with the delimiter.
struct PromptStyle {
  std::string name = "plain";
  /// The prompt; the task says delimiter and separator.
  std::function<std::string(const Question&, const Task&)> render;
  bool delimiter = true;    // whether the task's delimiter stands between prompt and continuation
  bool add_special = true;  // whether the tokenizer adds its special tokens (BOS) to prompts
};
PromptStyle plain_style();

struct Item {
  int64_t index = 0;  // of the record, from 0 on
  std::string place;  // "FILE:LINE"
  int64_t line = 0;
  int64_t shot_set = 0;                    // items with the same shots have the same number
  std::vector<std::string> prompts;        // one, or one per context
  std::vector<std::string> continuations;  // one, or one per choice, without delimiter; generate: none
  int64_t gold = -1;                       // choices, contexts: the right one
  std::string target;                      // target, generate
};

/// The items of the first `limit` records (0: all) with `shots` shots each. Error(kRefused) naming file and line of an
/// empty option or target, a gold that is no number of an option, or too few records for the shots; errors of Record.
std::vector<Item> make_items(const Task& task, std::span<const Record> records, int64_t limit, int64_t shots,
                             const PromptStyle& style);

}  // namespace bitloom
