#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/find_verb.h"
#include "cli/help.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "pipeline/ranks/ranks.h"

namespace bitloom {
namespace {

using Arguments = std::vector<std::string>;

// `bitloom eval --help`: the verbs that begin so.
bool is_group(const std::string& word) {
  return std::any_of(verbs().begin(), verbs().end(),
                     [&](const Verb& verb) { return first_word(verb.name) == word && verb.name != word; });
}

std::string group_help(const std::string& group) {
  std::string lines, examples;
  size_t width = 0;
  for (const Verb& verb : verbs())
    if (first_word(verb.name) == group) width = std::max(width, verb.name.size());
  for (const Verb& verb : verbs()) {
    if (first_word(verb.name) != group) continue;
    lines += fmt::format("  {:<{}}  {}\n", verb.name, width, verb.summary);
    examples += "  " + verb.examples[0] + "\n";
  }
  return fmt::format("usage: bitloom {} WHAT ... [flags]\n\n{}\nexamples:\n{}", group, lines, examples);
}

int run_verb(const Verb& verb, const Arguments& rest, const std::shared_ptr<Ranks>& ranks) {
  if (ranks->size() > 1 && !verb.on_ranks) {
    misuse("{}: runs as one process, not as {}; 'quantize' can use several", verb.name, ranks->size());
  }
  Session session(ranks);
  FlagSet flags(verb.name);
  const std::function<void()> work = verb.setup(flags, session);
  if (flags.parse(rest)) {
    work();
  } else {
    write_output(as_started(verb_help(verb, flags)));
  }
  return 0;
}

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h" || word == "help"; }

int run_command(Arguments arguments, const std::shared_ptr<Ranks>& ranks) {
  if (arguments.empty()) misuse("a verb is missing: 'bitloom --help' lists them");
  if (arguments[0] == "--version" || arguments[0] == "-V")
    return write_output(fmt::format("bitloom {}\n", version())), 0;
  if (asks_for_help(arguments[0])) {  // "help VERB" is "VERB --help"
    arguments.erase(arguments.begin());
    if (arguments.empty() || asks_for_help(arguments[0])) return write_output(as_started(program_help())), 0;
    arguments.push_back("--help");
  }
  if (arguments[0].starts_with('-')) {
    const std::vector<std::string> known = {"--help", "--version"};
    misuse("unknown flag {} before the verb{}; see 'bitloom --help'", arguments[0], did_you_mean(arguments[0], known));
  }
  if (is_group(arguments[0]) && arguments.size() == 2 && asks_for_help(arguments[1]))
    return write_output(as_started(group_help(arguments[0]))), 0;
  const Verb& verb = find_verb(arguments);
  return run_verb(verb, arguments_of(verb, arguments), ranks);
}

/// What one rank cannot do ends all of them, by the same error.
int run_together(const Arguments& arguments, const std::shared_ptr<Ranks>& ranks) {
  std::optional<Error> failure;
  try {
    const int code = run_command(arguments, ranks);
    ranks->barrier();
    return code;
  } catch (const Error& error) {
    failure = error;
  } catch (const std::bad_alloc&) {
    failure.emplace(ErrorKind::kFailed, "out of memory");
  } catch (const std::exception& error) {
    failure.emplace(ErrorKind::kFailed, error.what());
  }
  ranks->fail(*failure);
  throw *failure;  // GCC overlooks that a virtual function does not return
}

/// Whether --json was given without a FILE, which it takes in `compare`. The verb may not have come to reading flags.
bool wants_json(const Arguments& arguments) {
  const auto json = std::find(arguments.begin(), arguments.end(), "--json");
  if (json == arguments.end()) return false;
  return arguments[0] != "compare" || json + 1 == arguments.end() || (json + 1)->starts_with('-');
}

/// With --json, standard output holds one object whatever happens.
void print_error(std::string message, const Arguments& arguments, int code) {
  if (launch_of_environment().rank > 0) return;  // the leading rank says it
  message = as_started(std::move(message));
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (wants_json(arguments)) fmt::print("{}", json_text({{"error", message}, {"exit_code", code}}));
  fmt::print(stderr, "bitloom: error: {}\n", message);
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) {
  // The other ranks end when this lets go of them: after the message, so that no launcher cuts it off.
  std::shared_ptr<Ranks> ranks;
  try {
    ranks = start_ranks();
    return run_together(arguments, ranks);
  } catch (const Error& error) {
    print_error(error.what(), arguments, error.exit_code());
    return error.exit_code();
  } catch (const Interrupted& interrupted) {
    print_error("interrupted", arguments, 128 + interrupted.signal);
    return 128 + interrupted.signal;
  } catch (const std::bad_alloc&) {
    print_error("out of memory", arguments, static_cast<int>(ErrorKind::kFailed));
  } catch (const std::exception& error) {
    print_error(error.what(), arguments, static_cast<int>(ErrorKind::kFailed));
  }
  return static_cast<int>(ErrorKind::kFailed);
}

}  // namespace bitloom
