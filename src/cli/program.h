#pragma once
// The command line to an exit code: finds the verb, parses its flags, runs it, and turns what is thrown into one line
// on standard error. The only place that does.

#include <string>
#include <vector>

namespace bitloom {

/// `arguments` without the program's name. Returns the exit code.
int run_program(const std::vector<std::string>& arguments);

}  // namespace bitloom
