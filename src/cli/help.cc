#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/terminal/wrapped.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr size_t kColumns = 100;

}  // namespace

std::string program_help() {
  std::string text = "bitloom makes neural networks small. usage: bitloom VERB ... [flags] | help VERB | --version\n";
  size_t width = 0;
  for (const Verb& verb : verbs()) width = std::max(width, verb.name.size());
  for (const Verb& verb : verbs()) text += fmt::format("  {:<{}}  {}\n", verb.name, width, verb.summary);
  return text + fmt::format(
                    "MODEL: Hugging Face or bitloom directory, or GGUF. All take --json. To begin: bitloom help {}\n"
                    "Exit codes: 0 done, 1 failed while working, 2 wrong use, 3 input refused, 4 does not verify.\n",
                    verbs().front().name);
}

std::string verb_help(const Verb& verb, const FlagSet& flags) {
  std::string text = fmt::format("bitloom {}: {}\nusage: {}bitloom {} {}\n\n", verb.name, verb.summary,
                                 verb.on_ranks ? "[mpirun -np N] " : "", verb.name, verb.synopsis);
  size_t width = 0;
  const std::vector<FlagSet::HelpLine> lines = flags.help_lines();
  for (const auto& line : lines) width = std::max(width, line.names.size());
  const size_t indent = width + 4;
  for (const bool positional : {true, false})
    for (const auto& line : lines) {
      if (line.positional != positional) continue;
      text += fmt::format("  {}  {}\n", pad_width(line.names, width), wrapped(line.text, kColumns - indent, indent));
    }
  return text + fmt::format("examples:\n  {}\n  {}\n", verb.examples[0], verb.examples[1]);
}

}  // namespace bitloom
