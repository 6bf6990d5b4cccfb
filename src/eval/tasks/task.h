#pragma once
// A task is a value that a file of tasks/ holds: where its records lie, how one becomes a question, what is right, and
// how that is counted. docs/tasks.md explains the file.
//
// Goals of this folder: the published protocols (papers' formats page, 3.9) as data; items kept one by one, so that two
// runs can be compared; any model through its logits alone.
// Non-goals: prompts by code, sampling, tasks that other programs must judge.

#include <cstdint>
#include <string>
#include <vector>

#include "eval/tasks/prompt/template.h"

namespace bitloom {

///   choices   one context, several continuations: the likeliest is the answer
///   contexts  several contexts, one continuation (target): the context that makes it likeliest is the answer
///   target    one context, one continuation (target): its likelihood, and whether it is what greedy generation says
///   generate  greedy text after the context; what a pattern finds in it is compared with the target
enum class TaskKind { kChoices, kContexts, kTarget, kGenerate };

/// A way to read an answer out of generated text. Its metric is "exact_match", or "exact_match_NAME" when named.
struct Extraction {
  std::string name;
  std::string pattern;  // PCRE2; \K cuts what stands before
  bool last = false;    // the last match, not the first
};

struct Task {
  std::string name, description, source;
  std::string data;  // file name in the data folder
  TaskKind kind = TaskKind::kChoices;
  Template context;
  TemplateList options;  // choices: continuations, contexts: contexts
  Template target;       // contexts, target, generate
  Template gold;         // choices, contexts: number of the right option from 0 on
  std::string delimiter = " ";
  std::vector<std::string> metrics;

  // Shots: the file's first `shots` records other than the item, each rendered as context, delimiter and right answer.
  int64_t shots = 0;
  std::string separator = "\n\n";
  std::string preamble;  // before everything, as it is
  Template shot;         // generate: the answer that a shot shows; else unused

  // generate
  int64_t max_tokens = 256;
  std::vector<std::string> stops;
  std::vector<Extraction> extract;
  std::vector<std::string> ignore;  // patterns removed from answer and target, in order, before they are compared

  std::string file, sha256;  // of the task file
};

/// Error(kUsage) with file:line:column, the offending key or value and the allowed ones.
Task parse_task(const std::string& yaml, const std::string& origin);

/// By the name of a file of tasks/, or the path of one. Error(kUsage) with the nearest name, or all.
Task load_task(const std::string& text);

struct TaskEntry {
  std::string name, path, description;
};
std::vector<TaskEntry> list_tasks();

}  // namespace bitloom
