#pragma once
// What came out of a suite, as tables and as one JSON document.

#include <string>
#include <vector>

#include "io/json.h"
#include "suite/run_suite.h"
#include "suite/suite.h"

namespace bitloom {

/// A suite, its cells and what became of them; all three must outlive this.
struct SuiteOutcome {
  const Suite& suite;
  const Plan& plan;
  const std::vector<CellOutcome>& cells;
};

/// What an evaluation gave a row; null where there is nothing.
const Json* record_of(const SuiteOutcome& outcome, const PlanRow& row, const std::string& evaluation);

/// Error(kUsage) with the column's place when a result of `cell` lacks what a column shows, or cannot be written so.
void check_columns(const Suite& suite, const Cell& cell, const Json& record);

struct RenderedTable {
  std::string name, markdown;      // the caption above it
  size_t missing = 0, failed = 0;  // values that are not there
};
/// Those of `tables`, then "pairs". One line per model and recipe; what is not done is "...", what failed "failed",
/// what a recipe skips "-".
std::vector<RenderedTable> render_tables(const SuiteOutcome& outcome);

/// Files, variables, the values of all tables and every result, without times: two runs of a suite give the same.
Json results_json(const SuiteOutcome& outcome);
/// Seconds of every cell, and the times and rates in its result.
Json times_json(const SuiteOutcome& outcome);

}  // namespace bitloom
