#include "cli/commands.h"

#include <cctype>
#include <cerrno>
#include <string_view>

#include "cli/find_verb.h"

namespace bitloom {
namespace {

constexpr std::string_view kName = "bitloom";

bool is_command_word(std::string_view word) {
  if (word == "help" || word == "VERB" || word.starts_with("--")) return true;
  for (const Verb& verb : verbs()) {
    if (first_word(verb.name) == word) return true;
  }
  return false;
}

/// Whether `at` begins "bitloom WORD" that is a command, not the end of a path, a word in a sentence or a title.
bool is_command(std::string_view text, size_t at) {
  if (at > 0 && text[at - 1] != ' ' && text[at - 1] != '\'' && text[at - 1] != '\n') return false;
  std::string_view rest = text.substr(at + kName.size());
  if (!rest.starts_with(' ')) return false;
  rest.remove_prefix(1);
  size_t end = 0;
  while (end < rest.size() && (std::isalpha(static_cast<unsigned char>(rest[end])) != 0 || rest[end] == '-')) ++end;
  return !rest.substr(end).starts_with(':') && is_command_word(rest.substr(0, end));
}

}  // namespace

std::string as_started(std::string text, const std::string& program) {
  if (program.find('/') == program.npos) return text;
  const std::string typed = program.find(' ') == program.npos ? program : "'" + program + "'";
  for (size_t at = text.find(kName); at != text.npos; at = text.find(kName, at)) {
    const bool command = is_command(text, at);
    if (command) text.replace(at, kName.size(), typed);
    at += command ? typed.size() : kName.size();
  }
  return text;
}

std::string as_started(std::string text) { return as_started(std::move(text), program_invocation_name); }

}  // namespace bitloom
