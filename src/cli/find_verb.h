#pragma once
// From words to verbs.

#include <string>
#include <vector>

#include "cli/verb.h"

namespace bitloom {

/// "eval" of "eval ppl".
std::string first_word(const std::string& name);

/// The verb that a command line (at least one word) begins with. Error(kUsage) with the nearest spelling.
const Verb& find_verb(const std::vector<std::string>& arguments);

/// What follows the verb's name.
std::vector<std::string> arguments_of(const Verb& verb, const std::vector<std::string>& arguments);

}  // namespace bitloom
