#include "suite/tables/tables.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "eval/statistics/paired.h"
#include "report/table.h"
#include "suite/check_suite.h"
#include "suite/tables/values.h"
#include "suite/words.h"

namespace bitloom {
namespace {

std::string format_figure(const SuiteColumn& column, const Json& value, const Json* interval) {
  return interval != nullptr ? format_value(value, *interval, column.as) : format_value(value, column.as);
}

/// A column's value in a row.
struct Figure {
  std::string text;
  Json value;  // null where there is none, and for times
  bool missing = false, failed = false;
};

class Figures {
 public:
  explicit Figures(const SuiteOutcome& outcome) : outcome_(outcome) {}

  Figure of(const SuiteColumn& column, const PlanRow& row) const {
    if (!column.text.empty()) {
      const std::string text = fill(column.text, [&](const std::string& name) { return label(name, row); }, {});
      return {text, text};
    }
    for (const std::string& text : column.values) {
      const ValuePath path = parse_value_path(text);
      const auto cell = row.cells.find(path.evaluation);
      if (cell != row.cells.end()) return of(column, path, row, outcome_.cells[cell->second]);
    }
    return {"-", Json()};
  }

  /// The value of "EVALUATION.KEY" in the first row that has it, for captions.
  std::optional<std::string> anywhere(const std::string& text) const {
    const ValuePath path = parse_value_path(text);
    for (const PlanRow& row : outcome_.plan.rows) {
      const Json* record = record_of(outcome_, row, path.evaluation);
      if (record != nullptr) return format_value(value_at(*record, path), "text");
    }
    return "...";
  }

 private:
  static std::optional<std::string> label(const std::string& name, const PlanRow& row) {
    if (name == "model") return row.model.name;
    if (name == "steps") return row.recipe.recipe;
    return name == "recipe" ? row.recipe.name : row.recipe.format;
  }

  Figure of(const SuiteColumn& column, const ValuePath& path, const PlanRow& row, const CellOutcome& cell) const {
    if (!cell.failure.empty()) return {"failed", Json(), false, true};
    if (!cell.result) return {"...", Json(), true, false};
    const Json& value = value_at(cell.result->record, path);
    const Json* interval = nullptr;
    if (!column.interval.empty()) {
      const ValuePath bounds = parse_value_path(column.interval);
      const Json* record = record_of(outcome_, row, bounds.evaluation);
      if (record != nullptr) interval = &value_at(*record, bounds);
    }
    return {format_figure(column, value, interval), is_time(path.key) ? Json() : value};
  }

  const SuiteOutcome& outcome_;
};

/// A row of the table "pairs": first - second of one model.
class PairRow {
 public:
  PairRow(const SuiteOutcome& outcome, const SuiteModel& model, const std::pair<std::string, std::string>& labels)
      : outcome_(outcome), pairs_(*outcome.suite.pairs) {
    for (const PlanRow& row : outcome.plan.rows) {
      if (row.model.name != model.name) continue;
      if (row.recipe.label() == labels.first) first_ = &row;
      if (row.recipe.label() == labels.second) second_ = &row;
    }
  }

  /// nullopt where one of the two has no values yet.
  std::optional<PairedDifference> difference() const {
    const auto first = values(*first_), second = values(*second_);
    if (!first || !second) return std::nullopt;
    if (first->size() != second->size())
      misuse("{}: '{}' has {} values of '{}' and {} of '{}'", pairs_.place, pairs_.value, first->size(),
             first_->recipe.label(), second->size(), second_->recipe.label());
    return paired_difference(*second, *first);
  }

  std::vector<std::string> cells(const std::optional<PairedDifference>& difference) const {
    if (!difference) return {name(*first_), name(*second_), "...", "..."};
    const std::string verdict = difference->high < 0 ? "less" : difference->low > 0 ? "more" : "no difference shown";
    return {name(*first_), name(*second_),
            format_value(difference->mean, Json{difference->low, difference->high}, "number"), verdict};
  }

 private:
  std::optional<std::vector<double>> values(const PlanRow& row) const {
    const ValuePath path = parse_value_path(pairs_.value);
    const Json* record = record_of(outcome_, row, path.evaluation);
    if (record == nullptr) return std::nullopt;
    const Json& value = value_at(*record, path);
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number(); }))
      misuse("{}: '{}' is no list of numbers: {}", pairs_.place, pairs_.value, value.dump());
    return value.get<std::vector<double>>();
  }

  std::string name(const PlanRow& row) const {
    std::string text = outcome_.suite.models.size() > 1 ? row.model.name + " " : "";
    text += row.recipe.label();
    if (pairs_.bits.empty()) return text;
    const ValuePath path = parse_value_path(pairs_.bits);
    const Json* record = record_of(outcome_, row, path.evaluation);
    return record == nullptr ? text : fmt::format("{} ({})", text, format_value(value_at(*record, path), "bits"));
  }

  const SuiteOutcome& outcome_;
  const SuitePairs& pairs_;
  const PlanRow* first_ = nullptr;
  const PlanRow* second_ = nullptr;
};

RenderedTable render_pairs(const SuiteOutcome& outcome) {
  Table table({{"recipe", Align::kLeft}, {"against", Align::kLeft}, {"difference"}, {"", Align::kLeft}});
  RenderedTable result;
  result.name = "pairs";
  for (const SuiteModel& model : outcome.suite.models) {
    for (const auto& labels : outcome.suite.pairs->of) {
      const PairRow row(outcome, model, labels);
      const auto difference = row.difference();
      result.missing += difference ? 0 : 1;
      table.add(row.cells(difference));
    }
  }
  result.markdown = table.to_markdown();
  return result;
}

bool shows(const SuiteTable& table, const PlanRow& row) {
  return table.rows.empty() || matches_any(table.rows, row.recipe);
}

std::string caption_of(const SuiteTable& table, const Suite& suite, const Figures& figures) {
  return fill(table.caption,
              [&](const std::string& name) -> std::optional<std::string> {
                if (const std::string* value = value_for(suite, {}, name)) return *value;
                return figures.anywhere(name);
              },
              {});
}

RenderedTable render(const SuiteTable& table, const SuiteOutcome& outcome) {
  std::vector<Column> columns;
  for (const SuiteColumn& column : table.columns)
    columns.push_back({column.title, column.text.empty() ? Align::kRight : Align::kLeft});
  Table rendered(columns);
  RenderedTable result;
  result.name = table.name;
  const Figures figures(outcome);
  for (const PlanRow& row : outcome.plan.rows) {
    if (!shows(table, row)) continue;
    std::vector<std::string> texts;
    for (const SuiteColumn& column : table.columns) {
      const Figure figure = figures.of(column, row);
      result.missing += figure.missing;
      result.failed += figure.failed;
      texts.push_back(figure.text);
    }
    rendered.add(std::move(texts));
  }
  if (!table.caption.empty()) result.markdown = caption_of(table, outcome.suite, figures) + "\n\n";
  result.markdown += rendered.to_markdown();
  return result;
}

Json values_of(const SuiteTable& table, const SuiteOutcome& outcome) {
  const Figures figures(outcome);
  Json titles = Json::array(), rows = Json::array();
  for (const SuiteColumn& column : table.columns) titles.push_back(column.title);
  for (const PlanRow& row : outcome.plan.rows) {
    if (!shows(table, row)) continue;
    Json values = Json::array();
    for (const SuiteColumn& column : table.columns) values.push_back(figures.of(column, row).value);
    rows.push_back(std::move(values));
  }
  return {{"name", table.name}, {"columns", std::move(titles)}, {"rows", std::move(rows)}};
}

Json named(const NamedTexts& texts) {
  Json out = Json::object();
  for (const auto& [name, text] : texts) out[name] = text;
  return out;
}

}  // namespace

const Json* record_of(const SuiteOutcome& outcome, const PlanRow& row, const std::string& evaluation) {
  const auto cell = row.cells.find(evaluation);
  if (cell == row.cells.end() || !outcome.cells[cell->second].result) return nullptr;
  return &outcome.cells[cell->second].result->record;
}

void check_columns(const Suite& suite, const Cell& cell, const Json& record) {
  const auto value = [&](const std::string& text) -> const Json* {
    const ValuePath path = parse_value_path(text);
    return path.evaluation == cell.evaluation ? &value_at(record, path) : nullptr;
  };
  for (const SuiteTable& table : suite.tables) {
    for (const SuiteColumn& column : table.columns) {
      try {
        for (const std::string& text : column.values)
          if (const Json* found = value(text)) format_value(*found, column.as);
        if (column.interval.empty()) continue;
        if (const Json* found = value(column.interval)) format_value(0.0, *found, column.as);
      } catch (const Error& error) {
        misuse("{}: column '{}': {}", column.place, column.title, error.what());
      }
    }
  }
}

std::vector<RenderedTable> render_tables(const SuiteOutcome& outcome) {
  std::vector<RenderedTable> tables;
  for (const SuiteTable& table : outcome.suite.tables) tables.push_back(render(table, outcome));
  if (outcome.suite.pairs) tables.push_back(render_pairs(outcome));
  return tables;
}

Json results_json(const SuiteOutcome& outcome) {
  Json rows = Json::array(), tables = Json::array();
  for (const PlanRow& row : outcome.plan.rows) {
    Json results = Json::object();
    for (const auto& [evaluation, cell] : row.cells) {
      const CellOutcome& one = outcome.cells[cell];
      results[evaluation] = one.result ? without_times(one.result->record) : Json();
    }
    rows.push_back({{"model", row.model.name},
                    {"recipe", row.recipe.name},
                    {"format", row.recipe.format},
                    {"results", std::move(results)}});
  }
  for (const SuiteTable& table : outcome.suite.tables) tables.push_back(values_of(table, outcome));
  return {{"suite", outcome.suite.name},         {"title", outcome.suite.title},
          {"files", named(outcome.suite.files)}, {"variables", named(outcome.suite.variables)},
          {"tables", std::move(tables)},         {"rows", std::move(rows)}};
}

Json times_json(const SuiteOutcome& outcome) {
  Json cells = Json::object();
  for (size_t i = 0; i < outcome.plan.cells.size(); ++i) {
    const CellOutcome& cell = outcome.cells[i];
    if (!cell.result) continue;
    cells[outcome.plan.cells[i].label] = {{"seconds", cell.result->seconds}, {"result", times_of(cell.result->record)}};
  }
  return {{"suite", outcome.suite.name}, {"cells", std::move(cells)}};
}

}  // namespace bitloom
