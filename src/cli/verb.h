#pragma once
// A verb of the program is a row: its name, what it does, two examples, and a function that declares its flags. One
// file per verb, flags beside their use. To add one: a file in verbs/ and a line in verbs.cc.

#include <array>
#include <functional>
#include <span>
#include <string>

#include "cli/flags/flags.h"
#include "cli/terminal/session.h"

namespace bitloom {

struct Verb {
  std::string name;                     // "quantize"; two words when verbs share the first: "eval ppl"
  std::string summary;                  // completes "bitloom NAME: "
  std::string synopsis;                 // what follows the name in the usage line
  std::array<std::string, 2> examples;  // full command lines that work in a checkout
  /// Adds the verb's flags to `flags` and returns the work to do once they are parsed.
  std::function<void()> (*setup)(FlagSet& flags, Session& session);
  bool on_ranks = false;  // may run as several processes, see pipeline/ranks/ranks.h
};

/// Every verb, in the order in which help lists them.
std::span<const Verb> verbs();

Verb quantize_verb();
Verb eval_ppl_verb();
Verb eval_kl_verb();
Verb eval_tasks_verb();
Verb compare_verb();
Verb eval_arithmetic_verb();
Verb run_verb();
Verb chat_verb();
Verb serve_verb();
Verb tokenize_verb();
Verb info_verb();
Verb formats_verb();
Verb cost_verb();
Verb pareto_verb();
Verb recipes_verb();
Verb tune_verb();
Verb verify_verb();
Verb export_verb();
Verb demo_verb();
Verb suite_verb();
Verb bench_verb();

}  // namespace bitloom
