#include "suite/run_suite.h"

#include <algorithm>
#include <new>

#include "base/error.h"
#include "base/text/text.h"
#include "report/numbers.h"
#include "suite/cell_words.h"
#include "suite/check_suite.h"
#include "suite/tables/values.h"

namespace bitloom {
namespace {

class CellRunner {
 public:
  CellRunner(const Plan& plan, const CellStore& store, const SuiteRunOptions& options,
             const std::function<void(const Cell&, const Json&)>& check, Progress& progress)
      : plan_(plan),
        store_(store),
        options_(options),
        check_(check),
        progress_(progress),
        selected_(selected_cells(plan, options.only)),
        outcomes_(plan.cells.size()),
        users_(plan.cells.size()) {}

  std::vector<CellOutcome> run() {
    look_up();
    for (size_t i = 0; i < plan_.cells.size(); ++i) {
      if (!selected_[i]) continue;
      if (!outcomes_[i].result) make(i);
      if (users_[i] == 0 && !options_.keep) store_.remove_output(plan_.cells[i]);
      for (const size_t need : plan_.cells[i].needs)
        if (--users_[need] == 0 && !options_.keep) store_.remove_output(plan_.cells[need]);
    }
    return std::move(outcomes_);
  }

 private:
  /// What is done already.
  void look_up() {
    size_t wanted = 0;
    for (size_t i = 0; i < plan_.cells.size(); ++i) {
      outcomes_[i].result = store_.find(plan_.cells[i]);
      if (outcomes_[i].result) note(i);
      if (!selected_[i]) continue;
      ++wanted;
      if (!outcomes_[i].result) ++to_run_;
      for (const size_t need : plan_.cells[i].needs) ++users_[need];
    }
    if (to_run_ == 0) return;
    progress_.log(fmt::format("{} of {} cells are finished already", wanted - to_run_, wanted));
  }

  void note(size_t i) {
    check_(plan_.cells[i], outcomes_[i].result->record);
    finished_.emplace_back(plan_.cells[i].evaluation, outcomes_[i].result->seconds);
  }

  /// Runs cell i, and what it needs where its output is gone.
  void make(size_t i) {
    const Cell& cell = plan_.cells[i];
    for (const size_t need : cell.needs) {
      if (outcomes_[need].failure.empty() && !store_.has_output(plan_.cells[need])) make(need);
      if (outcomes_[need].failure.empty()) continue;
      outcomes_[i].failure = fmt::format("needs {}, which failed", plan_.cells[need].label);
      progress_.log(fmt::format("[{}/{}] {}: {}", ++ran_, to_run_, cell.label, outcomes_[i].failure));
      return;
    }
    const bool again = outcomes_[i].result.has_value();
    if (!again) ++ran_;
    const std::string head = fmt::format("[{}/{}] {}{}", ran_, to_run_, cell.label, again ? ", again" : "");
    progress_.log(head);
    run_command(i);
    progress_.log(head + ": " + closing_words(outcomes_[i]));
  }

  void run_command(size_t i) {
    const Cell& cell = plan_.cells[i];
    CellOutcome& outcome = outcomes_[i];
    store_.forget(cell);
    outcome = {};
    const double start = options_.clock();
    try {
      const std::vector<std::string> words = with_outputs(
          cell.words, store_.output(cell), [&](size_t other) { return store_.output(plan_.cells[other]); });
      CellResult result{with_labels(cell, options_.command(words)), 0};
      result.seconds = options_.clock() - start;
      store_.write(cell, result);
      outcome.result = std::move(result);
      outcome.ran = true;
    } catch (const std::bad_alloc&) {
      outcome.failure = "out of memory";
      return;
    } catch (const std::exception& error) {
      outcome.failure = error.what();
      return;
    }
    note(i);
  }

  /// The record with what cells made called by their labels: nothing in it depends on where this run worked.
  Json with_labels(const Cell& cell, Json record) const {
    record = with_text_replaced(record, store_.output(cell), "cell:" + cell.label);
    for (const size_t need : cell.needs)
      record = with_text_replaced(record, store_.output(plan_.cells[need]), "cell:" + plan_.cells[need].label);
    return record;
  }

  std::string closing_words(const CellOutcome& outcome) const {
    if (!outcome.failure.empty()) return "failed: " + outcome.failure;
    std::string text = format_duration(outcome.result->seconds);
    std::vector<std::string> pending;
    for (size_t i = 0; i < plan_.cells.size(); ++i)
      if (selected_[i] && !outcomes_[i].result && outcomes_[i].failure.empty())
        pending.push_back(plan_.cells[i].evaluation);
    const std::optional<double> left = expected_seconds(finished_, pending);
    if (left && !pending.empty()) text += fmt::format("; about {} left", format_duration(*left));
    return text;
  }

  const Plan& plan_;
  const CellStore& store_;
  const SuiteRunOptions& options_;
  const std::function<void(const Cell&, const Json&)>& check_;
  Progress& progress_;
  std::vector<bool> selected_;
  std::vector<CellOutcome> outcomes_;
  std::vector<int> users_;  // selected cells that still need a cell's output
  std::vector<std::pair<std::string, double>> finished_;
  size_t to_run_ = 0, ran_ = 0;
};

bool means(const std::string& only, const PlanRow& row, const Cell& cell) {
  const std::string full = fmt::format("{}/{}/{}", row.model.name, row.recipe.label(), cell.evaluation);
  return glob_match(only, full) || glob_match(only, row.model.name) || matches_any({only}, row.recipe) ||
         glob_match(only, cell.evaluation);
}

}  // namespace

std::vector<bool> selected_cells(const Plan& plan, const std::string& only) {
  std::vector<bool> selected(plan.cells.size(), only.empty());
  if (only.empty()) return selected;
  bool any = false;
  for (const PlanRow& row : plan.rows)
    for (const auto& [evaluation, cell] : row.cells)
      if (means(only, row, plan.cells[cell])) any = selected[cell] = true;
  if (!any) {
    std::vector<std::string> labels;
    for (const Cell& cell : plan.cells) labels.push_back(cell.label);
    misuse("--only '{}' matches none of the {} cells{}; they are called as '{}'", only, labels.size(),
           did_you_mean(only, labels), labels.back());
  }
  for (size_t i = plan.cells.size(); i-- > 0;)  // needs stand before their users
    if (selected[i])
      for (const size_t need : plan.cells[i].needs) selected[need] = true;
  return selected;
}

std::optional<double> expected_seconds(const std::vector<std::pair<std::string, double>>& finished,
                                       const std::vector<std::string>& pending) {
  if (finished.empty()) return std::nullopt;
  const auto mean = [&](const std::string* evaluation) -> std::optional<double> {
    double sum = 0, count = 0;
    for (const auto& [name, seconds] : finished) {
      if (evaluation != nullptr && name != *evaluation) continue;
      sum += seconds;
      ++count;
    }
    return count > 0 ? std::optional(sum / count) : std::nullopt;
  };
  double total = 0;
  for (const std::string& evaluation : pending) total += mean(&evaluation).value_or(*mean(nullptr));
  return total;
}

std::vector<CellOutcome> run_cells(const Plan& plan, const CellStore& store, const SuiteRunOptions& options,
                                   const std::function<void(const Cell&, const Json& record)>& check,
                                   Progress& progress) {
  return CellRunner(plan, store, options, check, progress).run();
}

}  // namespace bitloom
