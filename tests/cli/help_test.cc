// What the program says about itself.

#include <gtest/gtest.h>

#include <sstream>

#include "program.h"

namespace bitloom::testing {
namespace {

const std::vector<std::string>& verb_names() {
  static const std::vector<std::string> names = {"quantize", "eval ppl", "eval kl",  "eval tasks", "eval arithmetic",
                                                 "compare",  "run",      "tokenize", "info",       "formats",
                                                 "recipes",  "verify",   "demo",     "suite",      "bench",
                                                 "cost",     "pareto",   "export",   "tune"};
  return names;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Help as someone reads it who has the program on PATH: it names commands by the path that it was started by.
std::string with_short_name(std::string text) {
  const std::string program = BITLOOM_PROGRAM;
  EXPECT_NE(text.find(program), text.npos) << text;
  for (size_t at = text.find(program); at != text.npos; at = text.find(program))
    text.replace(at, program.size(), "bitloom");
  return text;
}

void expect_fits_screen(const std::string& text, size_t lines = 24) {
  EXPECT_LE(lines_of(text).size(), lines) << text;
  for (const std::string& line : lines_of(text)) EXPECT_LE(line.size(), 100u) << line;
}

class VerbHelp : public ::testing::TestWithParam<std::string> {};

TEST_P(VerbHelp, FitsAScreenAndEndsWithTwoExamples) {
  std::vector<std::string> words = split_command(GetParam());
  words.emplace_back("--help");
  const Outcome outcome = run_bitloom(words);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  // Some verbs need more than the classic terminal's lines.
  const std::string text = with_short_name(outcome.out);
  const bool long_list = GetParam() == "quantize" || GetParam() == "compare" || GetParam() == "tune";
  expect_fits_screen(text, long_list ? 33 : GetParam() == "run" ? 25 : 24);
  const std::vector<std::string> lines = lines_of(text);
  ASSERT_GE(lines.size(), 5u);
  EXPECT_EQ(lines[lines.size() - 3], "examples:");
  for (size_t i = lines.size() - 2; i < lines.size(); ++i)
    EXPECT_EQ(lines[i].rfind("  bitloom " + GetParam(), 0), 0u) << lines[i];
  EXPECT_NE(outcome.out.find("--json"), std::string::npos);
}

// "bitloom VERB ... --help" parses nothing else, so a flag in an example that does not exist must be found otherwise:
// every flag of the examples stands in the help text itself.
TEST_P(VerbHelp, ExamplesUseFlagsThatExist) {
  const Outcome outcome = run_bitloom(split_command("help " + GetParam()));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const size_t examples = outcome.out.find("examples:");
  const std::string flags = outcome.out.substr(0, examples);
  for (const std::string& line : lines_of(outcome.out.substr(examples))) {
    for (const std::string& word : split_command(line)) {
      if (word.size() < 2 || word[0] != '-') continue;
      const bool known =
          flags.find(" " + word + " ") != std::string::npos || flags.find(" " + word + ",") != std::string::npos;
      EXPECT_TRUE(known) << word;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Verbs, VerbHelp, ::testing::ValuesIn(verb_names()), [](const auto& test) {
  std::string name = test.param;
  for (char& c : name)
    if (c == ' ') c = '_';
  return name;
});

TEST(ProgramHelp, ListsEveryVerbOnOneScreen) {
  const Outcome outcome = run_bitloom({"--help"});
  EXPECT_EQ(outcome.code, 0);
  expect_fits_screen(with_short_name(outcome.out));
  for (const std::string& name : verb_names())
    EXPECT_NE(outcome.out.find("\n  " + name + " "), std::string::npos) << name;
  EXPECT_EQ(run_bitloom({"help"}).out, outcome.out);
}

TEST(ProgramHelp, AHalfVerbExplainsItself) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"eval", "--help"}, {"help", "eval"}}) {
    const Outcome outcome = run_bitloom(words);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_NE(outcome.out.find("eval ppl"), std::string::npos);
    EXPECT_NE(outcome.out.find("eval kl"), std::string::npos);
  }
}

TEST(ProgramHelp, Version) {
  const Outcome outcome = run_bitloom({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.rfind("bitloom 0.", 0), 0u) << outcome.out;
}

}  // namespace
}  // namespace bitloom::testing
