#pragma once
// Help texts: what fits one screen, ending with two commands that work.

#include <string>

#include "cli/verb.h"

namespace bitloom {

/// `bitloom --help`: every verb with its summary.
std::string program_help();

/// `bitloom VERB --help`, from the flags that the verb declared.
std::string verb_help(const Verb& verb, const FlagSet& flags);

}  // namespace bitloom
