#include "cli/find_verb.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

// A verb that shares its first word with others, and its first word alone, need the second.
[[noreturn]] void refuse_half_verb(const std::string& group, const std::vector<std::string>& arguments) {
  std::vector<std::string> seconds;
  for (const Verb& verb : verbs())
    if (first_word(verb.name) == group && verb.name != group) seconds.push_back(verb.name.substr(group.size() + 1));
  const std::string list = fmt::format("{}", fmt::join(seconds, ", "));
  if (arguments.size() < 2) misuse("bitloom {} needs one of: {}", group, list);
  misuse("bitloom {}: unknown measure '{}'{}; there are: {}", group, arguments[1], did_you_mean(arguments[1], seconds),
         list);
}

[[noreturn]] void refuse_unknown_verb(const std::string& word) {
  std::set<std::string> known = {"help"};
  for (const Verb& verb : verbs()) known.insert(first_word(verb.name));
  const std::vector<std::string> names(known.begin(), known.end());
  misuse("unknown verb '{}'{}; there are: {}", word, did_you_mean(word, names), fmt::join(names, ", "));
}

}  // namespace

std::string first_word(const std::string& name) { return name.substr(0, name.find(' ')); }

const Verb& find_verb(const std::vector<std::string>& arguments) {
  bool half = false;
  for (const Verb& verb : verbs()) {
    if (verb.name == arguments[0]) return verb;
    if (first_word(verb.name) != arguments[0]) continue;
    half = true;
    if (arguments.size() > 1 && verb.name == arguments[0] + " " + arguments[1]) return verb;
  }
  if (half) refuse_half_verb(arguments[0], arguments);
  refuse_unknown_verb(arguments[0]);
}

std::vector<std::string> arguments_of(const Verb& verb, const std::vector<std::string>& arguments) {
  const auto words = std::count(verb.name.begin(), verb.name.end(), ' ') + 1;
  return {arguments.begin() + words, arguments.end()};
}

}  // namespace bitloom
