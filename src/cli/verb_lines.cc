#include "cli/verb_lines.h"

#include "base/error.h"
#include "cli/find_verb.h"

namespace bitloom {
namespace {

/// The verb's work, ready to be called while `session` and `flags` live.
std::function<void()> prepare(const Verb& verb, const std::vector<std::string>& words, FlagSet& flags,
                              Session& session) {
  std::function<void()> work = verb.setup(flags, session);
  if (!flags.parse(arguments_of(verb, words))) misuse("{}: asks for help, which is no result", verb.name);
  return work;
}

const Verb& verb_of(const std::vector<std::string>& words) {
  if (words.empty()) misuse("the command line is empty");
  const Verb& verb = find_verb(words);
  if (verb.name == "suite") misuse("a suite cannot run 'bitloom suite'");
  return verb;
}

}  // namespace

void check_verb_line(const std::vector<std::string>& words) {
  const Verb& verb = verb_of(words);
  Session session;
  FlagSet flags(verb.name);
  prepare(verb, words, flags, session);
}

Json run_verb_line(const std::vector<std::string>& words, int threads) {
  const Verb& verb = verb_of(words);
  Json record;
  Session session;
  session.capture(record);
  session.threads = threads;
  FlagSet flags(verb.name);
  prepare(verb, words, flags, session)();
  if (!record.is_object()) fail(ErrorKind::kFailed, "{}: has no result to keep", verb.name);
  return record;
}

}  // namespace bitloom
