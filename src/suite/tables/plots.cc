#include "suite/tables/plots.h"

#include <algorithm>

#include "base/error.h"
#include "suite/check_suite.h"
#include "suite/tables/values.h"

namespace bitloom {
namespace {

double number(const Json& value, const SuiteAxis& axis) {
  if (!value.is_number()) misuse("{}: '{}' is no number: {}", axis.place, axis.value, value.dump());
  return value.get<double>() / axis.unit;
}

/// kUnknown in a row without the evaluation.
Estimate estimate_of(const SuiteOutcome& outcome, const PlanRow& row, const SuiteAxis& axis) {
  const ValuePath path = parse_value_path(axis.value);
  const Json* record = record_of(outcome, row, path.evaluation);
  if (record == nullptr) return {};
  Estimate estimate;
  estimate.value = number(value_at(*record, path), axis);
  if (axis.interval.empty()) return estimate;
  const ValuePath bounds = parse_value_path(axis.interval);
  const Json* holder = record_of(outcome, row, bounds.evaluation);
  if (holder == nullptr) return estimate;
  const Json& interval = value_at(*holder, bounds);
  if (!interval.is_array() || interval.size() != 2)
    misuse("{}: '{}' is no interval [low, high]: {}", axis.place, axis.interval, interval.dump());
  estimate.low = number(interval[0], axis), estimate.high = number(interval[1], axis);
  return estimate;
}

/// The first group that names the recipe; one more than there are for none.
int group_of(const SuitePlot& plot, const SuiteRecipe& recipe) {
  const auto names = [&](const SuiteGroup& group) { return matches_any(group.rows, recipe); };
  return static_cast<int>(std::find_if(plot.groups.begin(), plot.groups.end(), names) - plot.groups.begin());
}

ScatterPlot render(const SuitePlot& plot, const SuiteOutcome& outcome) {
  ScatterPlot result{
      {plot.title, plot.text}, {plot.x.title, plot.x.logarithmic}, {plot.y.title, plot.y.logarithmic}, {}, {}, true};
  for (const SuiteGroup& group : plot.groups) result.groups.push_back(group.name);
  for (const PlanRow& row : outcome.plan.rows) {
    if (!plot.rows.empty() && !matches_any(plot.rows, row.recipe)) continue;
    const Estimate x = estimate_of(outcome, row, plot.x), y = estimate_of(outcome, row, plot.y);
    if (x.value != x.value || y.value != y.value) continue;
    const std::string model = outcome.suite.models.size() > 1 ? row.model.name + " " : "";
    const int group = group_of(plot, row.recipe);
    if (group == static_cast<int>(plot.groups.size()) && result.groups.size() == plot.groups.size() && group > 0)
      result.groups.push_back("other");
    result.points.push_back({model + row.recipe.label(), x.value, y, group});
  }
  return result;
}

}  // namespace

std::vector<RenderedPlot> render_plots(const SuiteOutcome& outcome) {
  std::vector<RenderedPlot> plots;
  for (const SuitePlot& plot : outcome.suite.plots) plots.push_back({plot.name, render(plot, outcome)});
  return plots;
}

}  // namespace bitloom
