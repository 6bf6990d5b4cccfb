#include "program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/test_data.h"

namespace bitloom::testing {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void redirect(const std::string& path, int flags, int descriptor) {
  const int file = open(path.c_str(), flags, 0600);
  if (file < 0 || dup2(file, descriptor) < 0) _exit(126);
}

std::vector<std::string> bitloom_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {BITLOOM_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

/// In a child: becomes the command.
[[noreturn]] void become(std::vector<std::string> command) {
  std::vector<char*> words(command.size() + 1);
  for (size_t i = 0; i < command.size(); ++i) words[i] = command[i].data();
  execvp(words[0], words.data());
  _exit(127);
}

Outcome run_process(std::vector<std::string> command, const std::string& input) {
  const TempDir dir;
  std::ofstream(dir.file("in"), std::ios::binary) << input;
  const pid_t child = fork();
  if (child == 0) {
    redirect(dir.file("in"), O_RDONLY, STDIN_FILENO);
    redirect(dir.file("out"), O_WRONLY | O_CREAT, STDOUT_FILENO);
    redirect(dir.file("err"), O_WRONLY | O_CREAT, STDERR_FILENO);
    setenv("BITLOOM", BITLOOM_PROGRAM, 1);
    become(std::move(command));
  }
  int status = 0;
  waitpid(child, &status, 0);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_file(dir.file("out")), read_file(dir.file("err"))};
}

}  // namespace

Outcome run_bitloom(const std::vector<std::string>& arguments, const std::string& input) {
  return run_process(bitloom_command(arguments), input);
}

pid_t start_bitloom(const std::vector<std::string>& arguments) {
  const pid_t child = fork();
  if (child == 0) {
    redirect("/dev/null", O_WRONLY, STDOUT_FILENO);
    redirect("/dev/null", O_WRONLY, STDERR_FILENO);
    become(bitloom_command(arguments));
  }
  return child;
}

Outcome run_shell(const std::string& command, const std::string& input) {
  return run_process({"sh", "-c", command}, input);
}

nlohmann::json run_json(std::vector<std::string> arguments, const std::string& input) {
  arguments.emplace_back("--json");
  const Outcome outcome = run_bitloom(arguments, input);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json value = nlohmann::json::parse(outcome.out, nullptr, false);
  EXPECT_TRUE(value.is_object()) << outcome.out;
  return value;
}

std::vector<std::string> split_command(const std::string& line) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ' ' && !quoted) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

void expect_error(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.rfind("bitloom: error: ", 0), 0u) << outcome.err;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << "one line: " << outcome.err;
  for (const std::string& part : parts)
    EXPECT_NE(outcome.err.find(part), std::string::npos) << part << "\n" << outcome.err;
}

}  // namespace bitloom::testing
