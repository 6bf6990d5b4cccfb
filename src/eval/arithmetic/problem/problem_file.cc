#include "eval/arithmetic/problem/problem_file.h"

#include <map>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"
#include "eval/arithmetic/problem/csv.h"
#include "io/json.h"

namespace bitloom::arithmetic {
namespace {

/// Where a value stands, for messages.
struct CsvCell {
  const std::string& path;
  int64_t line;
  const char* column;
};

int64_t parse_addend(std::string_view text, const CsvCell& cell) {
  const auto value = parse_number<int64_t>(text);
  if (!value || *value < 1 || digits_of(*value) > kMaxDigits || std::to_string(*value) != text)
    refuse("{}:{}: {}: \"{}\" is no number of 1 to {} digits", cell.path, cell.line, cell.column, text, kMaxDigits);
  return *value;
}

Addends parse_shot(const std::string& text, const CsvCell& cell) {
  const std::vector<std::string> sides = split(text, '='), addends = split(sides[0], '+');
  if (sides.size() != 2 || addends.size() != 2)
    refuse("{}:{}: {}: \"{}\" is not of the form a+b=c", cell.path, cell.line, cell.column, text);
  const Addends shot{parse_addend(addends[0], cell), parse_addend(addends[1], cell)};
  if (sides[1] != std::to_string(shot.first + shot.second))
    refuse("{}:{}: {}: \"{}\" is wrong: the sum is {}", cell.path, cell.line, cell.column, text,
           shot.first + shot.second);
  return shot;
}

std::vector<Addends> parse_shots(const std::string& text, const CsvCell& cell) {
  std::vector<Addends> shots;
  if (text.empty()) return shots;
  for (const std::string& shot : split(text, ',')) shots.push_back(parse_shot(shot, cell));
  return shots;
}

}  // namespace

ProblemSet read_problem_file(const std::string& path, int64_t limit) {
  const CsvTable table = parse_csv(read_text(path), path);
  const size_t first = table.column("num1"), second = table.column("num2"), shots = table.column("shots");
  for (const char* name : {"num1", "num2"})
    if (table.column(name) == table.header.size())
      refuse("{}: no column {}; num1, num2 and shots are read", path, name);
  ProblemSet set;
  std::map<std::pair<int64_t, int64_t>, size_t> known;
  for (const CsvTable::Record& record : table.records) {
    const Addends query{parse_addend(record.fields[first], {path, record.line, "num1"}),
                        parse_addend(record.fields[second], {path, record.line, "num2"})};
    const auto [at, is_new] = known.try_emplace({query.first, query.second}, set.problems.size());
    if (is_new) set.problems.push_back({std::ssize(set.problems), query, {}});
    std::vector<Addends>& kept = set.problems[at->second].shots;
    if (shots == table.header.size()) continue;
    auto found = parse_shots(record.fields[shots], {path, record.line, "shots"});
    if (found.size() > kept.size()) kept = std::move(found);
  }
  if (limit > 0 && std::ssize(set.problems) > limit) set.problems.resize(static_cast<size_t>(limit));
  set.description = fmt::format("{}, {} problems", path, set.problems.size());
  return set;
}

}  // namespace bitloom::arithmetic
