#pragma once
// Runs the cells of a plan that are not done, one after another.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "suite/cell_store.h"
#include "suite/plan.h"

namespace bitloom {

/// What became of a cell. Neither result nor failure: --only left it out, and it was not done before.
struct CellOutcome {
  std::optional<CellResult> result;
  std::string failure;
  bool ran = false;  // in this run
};

struct SuiteRunOptions {
  std::string only;   // glob over labels, models, recipes and evaluations; empty: everything
  bool keep = false;  // outputs stay instead of being removed as soon as nobody needs them
  std::function<Json(const std::vector<std::string>& words)> command;
  std::function<double()> clock;  // seconds
};

/// One outcome per cell of the plan. A command that fails is a failure of its cell and of those that need it; the
/// others go on. Error(kUsage) when `only` matches nothing; `check` sees every result and may throw, which ends the
/// run.
std::vector<CellOutcome> run_cells(const Plan& plan, const CellStore& store, const SuiteRunOptions& options,
                                   const std::function<void(const Cell&, const Json& record)>& check,
                                   Progress& progress);

/// Cells that `only` means, and what they need.
std::vector<bool> selected_cells(const Plan& plan, const std::string& only);

/// Expected seconds of the cells in `pending`, from those of finished cells of the same evaluation, of any evaluation
/// where there is none; nullopt when nothing is finished yet.
std::optional<double> expected_seconds(const std::vector<std::pair<std::string, double>>& finished,
                                       const std::vector<std::string>& pending);

}  // namespace bitloom
