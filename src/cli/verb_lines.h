#pragma once
// Command lines of the program run by the program itself, in the same process: for verbs made of other verbs.

#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

/// Finds the verb and parses its flags, no more. Error(kUsage) for what is no command line, or one of a verb that runs
/// others itself.
void check_verb_line(const std::vector<std::string>& words);

/// Runs it and returns what it prints with --json. `threads` as Session::threads, unless the line says otherwise.
Json run_verb_line(const std::vector<std::string>& words, int threads);

}  // namespace bitloom
