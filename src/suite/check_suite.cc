#include "suite/check_suite.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/text/text.h"
#include "suite/tables/values.h"
#include "suite/words.h"

namespace bitloom {
namespace {

/// Depth first through the evaluations; one that is met while it is under way closes a circle.
class CycleSearch {
 public:
  explicit CycleSearch(const Suite& suite) : suite_(suite) {}

  void visit(const SuiteEvaluation& evaluation) {
    const auto start = std::find(path_.begin(), path_.end(), evaluation.name);
    if (start != path_.end()) {
      std::vector<std::string> circle(start, path_.end());
      circle.push_back(evaluation.name);
      misuse("{}: evaluations need each other in a circle: {}", evaluation.place, fmt::join(circle, " -> "));
    }
    if (done_[evaluation.name]) return;
    path_.push_back(evaluation.name);
    for (const std::string& name : placeholders(evaluation.run))
      if (const SuiteEvaluation* other = find_evaluation(suite_, name)) visit(*other);
    path_.pop_back();
    done_[evaluation.name] = true;
  }

 private:
  const Suite& suite_;
  std::vector<std::string> path_;
  std::map<std::string, bool> done_;
};

void check_references(const Suite& suite) {
  CycleSearch search(suite);
  for (const SuiteEvaluation& evaluation : suite.evaluations) {
    search.visit(evaluation);
    for (const std::string& name : placeholders(evaluation.run)) {
      const SuiteEvaluation* other = find_evaluation(suite, name);
      if (other != nullptr && other->run.find("{out}") == std::string::npos)
        misuse("{}: evaluation '{}' needs {{{}}}, but the command of '{}' makes no {{out}}", evaluation.place,
               evaluation.name, name, name);
    }
  }
}

void check_patterns(const Suite& suite, const std::vector<std::string>& patterns, const std::string& place,
                    const char* key) {
  for (const std::string& pattern : patterns) {
    const bool matches = std::any_of(suite.recipes.begin(), suite.recipes.end(),
                                     [&](const SuiteRecipe& recipe) { return matches_any({pattern}, recipe); });
    if (matches) continue;
    std::vector<std::string> labels;
    for (const SuiteRecipe& recipe : suite.recipes) labels.push_back(recipe.label());
    misuse("{}: '{}' names '{}', which is no recipe of the suite{}", place, key, pattern,
           did_you_mean(pattern, labels));
  }
}

void check_path(const Suite& suite, const std::string& text, const std::string& place) {
  std::vector<std::string> names = {kQuantize};
  for (const SuiteEvaluation& evaluation : suite.evaluations) names.push_back(evaluation.name);
  std::string evaluation;
  try {
    evaluation = parse_value_path(text).evaluation;
  } catch (const Error& error) {
    misuse("{}: {}", place, error.what());
  }
  if (std::find(names.begin(), names.end(), evaluation) == names.end())
    misuse("{}: '{}': there is no evaluation '{}'{}; there are: {}", place, text, evaluation,
           did_you_mean(evaluation, names), fmt::join(names, ", "));
}

void check_table(const Suite& suite, const SuiteTable& table) {
  check_patterns(suite, table.rows, table.place, "rows");
  static const std::vector<std::string> in_text = {"model", "recipe", "format", "steps"};
  for (const SuiteColumn& column : table.columns) {
    for (const std::string& value : column.values) check_path(suite, value, column.place);
    if (!column.interval.empty()) check_path(suite, column.interval, column.place);
    for (const std::string& name : placeholders(column.text))
      if (std::find(in_text.begin(), in_text.end(), name) == in_text.end())
        misuse("{}: unknown placeholder '{{{}}}'{}; there are: {}", column.place, name, did_you_mean(name, in_text),
               fmt::join(in_text, ", "));
  }
  for (const std::string& name : placeholders(table.caption)) {
    const auto is = [&](const auto& text) { return text.first == name; };
    if (std::any_of(suite.files.begin(), suite.files.end(), is)) continue;
    if (std::any_of(suite.variables.begin(), suite.variables.end(), is)) continue;
    check_path(suite, name, table.place);
  }
}

void check_pairs(const Suite& suite, const SuitePairs& pairs) {
  check_path(suite, pairs.value, pairs.place);
  if (!pairs.bits.empty()) check_path(suite, pairs.bits, pairs.place);
  std::vector<std::string> labels;
  for (const SuiteRecipe& recipe : suite.recipes) labels.push_back(recipe.label());
  for (const auto& [first, second] : pairs.of) {
    for (const std::string& label : {first, second}) {
      if (std::find(labels.begin(), labels.end(), label) == labels.end())
        misuse("{}: 'pairs' names '{}', which is no recipe of the suite{}", pairs.place, label,
               did_you_mean(label, labels));
    }
  }
}

void check_plot(const Suite& suite, const SuitePlot& plot) {
  check_patterns(suite, plot.rows, plot.place, "rows");
  for (const SuiteGroup& group : plot.groups) check_patterns(suite, group.rows, plot.place, "groups");
  for (const SuiteAxis* axis : {&plot.x, &plot.y}) {
    check_path(suite, axis->value, axis->place);
    if (!axis->interval.empty()) check_path(suite, axis->interval, axis->place);
  }
}

void check_file(const Suite& suite, const std::string& name, const std::string& path) {
  if (!std::filesystem::exists(path)) misuse("{}: file '{}' is not there: {}", suite.path, name, path);
}

}  // namespace

void check_suite(const Suite& suite) {
  for (const auto& [name, path] : suite.files) check_file(suite, name, path);
  for (const SuiteModel& model : suite.models)
    for (const auto& [name, value] : model.set)
      if (std::any_of(suite.files.begin(), suite.files.end(), [&](const auto& file) { return file.first == name; }))
        check_file(suite, name, value);
  check_references(suite);
  for (const SuiteEvaluation& evaluation : suite.evaluations)
    check_patterns(suite, evaluation.skip, evaluation.place, "skip");
  for (const SuiteTable& table : suite.tables) check_table(suite, table);
  if (suite.pairs) check_pairs(suite, *suite.pairs);
  for (const SuitePlot& plot : suite.plots) check_plot(suite, plot);
}

const SuiteEvaluation* find_evaluation(const Suite& suite, const std::string& name) {
  for (const SuiteEvaluation& evaluation : suite.evaluations)
    if (evaluation.name == name) return &evaluation;
  return nullptr;
}

std::vector<std::string> names_in_commands(const Suite& suite) {
  std::vector<std::string> names = {"source", "quantized", "out", "model", "recipe", "format"};
  for (const auto& [name, value] : suite.files) names.push_back(name);
  for (const auto& [name, value] : suite.variables) names.push_back(name);
  for (const SuiteEvaluation& evaluation : suite.evaluations) names.push_back(evaluation.name);
  return names;
}

bool matches_any(const std::vector<std::string>& patterns, const SuiteRecipe& recipe) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return glob_match(pattern, recipe.name) || glob_match(pattern, recipe.label());
  });
}

}  // namespace bitloom
