#pragma once
// What came out of a suite, as pictures.

#include <string>
#include <vector>

#include "report/plot/plot.h"
#include "suite/tables/tables.h"

namespace bitloom {

struct RenderedPlot {
  std::string name;
  ScatterPlot plot;
};
/// A point for each model and recipe that has both values; of several models its name stands before the recipe's.
/// Error(kUsage) with the axis' place for a value that is no number.
std::vector<RenderedPlot> render_plots(const SuiteOutcome& outcome);

}  // namespace bitloom
