#pragma once
// Runs the program as a user does and keeps what it says.

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bitloom::testing {

struct Outcome {
  int code = -1;  // exit code; 128 + signal when one ended it
  std::string out, err;
};

/// Runs build/.../bitloom with these arguments in the source tree's root, standard input from `input`.
Outcome run_bitloom(const std::vector<std::string>& arguments, const std::string& input = "");

/// Starts the program with these arguments, its output thrown away; returns its process id, to wait for.
pid_t start_bitloom(const std::vector<std::string>& arguments);

/// Runs any command line through sh, with the program's path in $BITLOOM.
Outcome run_shell(const std::string& command, const std::string& input = "");

/// Runs with --json and expects success and exactly one object on standard output.
nlohmann::json run_json(std::vector<std::string> arguments, const std::string& input = "");

/// Words of a command line, with "double quotes" around words with blanks.
std::vector<std::string> split_command(const std::string& line);

/// Expects this exit code, nothing on standard output and one error line that holds every one of `parts`.
void expect_error(const Outcome& outcome, int code, const std::vector<std::string>& parts);

}  // namespace bitloom::testing
