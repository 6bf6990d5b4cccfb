#pragma once
// The page of `eval arithmetic --html`: the paper's figures for one model, or for two on the same problems.

#include <span>

#include "eval/arithmetic/pairing.h"
#include "eval/arithmetic/summary.h"
#include "io/json.h"
#include "report/page/page.h"

namespace bitloom {

/// `facts`: what the terminal shows above the tables, the model first; `record`: what --json prints.
Page arithmetic_page(const Facts& facts, const arithmetic::Study& study, std::span<const arithmetic::CellSummary> cells,
                     std::span<const arithmetic::PairedCell> paired, const Json& record);

}  // namespace bitloom
