#pragma once
// What `bitloom compare` shows: the table, remarks and the page of `--html`.

#include <string>
#include <vector>

#include "cli/comparison.h"
#include "report/page.h"
#include "report/table.h"

namespace bitloom {

/// A row for each model, the reference first.
Table compare_table(const Comparison& comparison, bool per_byte);

/// What must be said below the table: units, protocol, the error of a compact reference, text that a model was
/// calibrated on.
std::vector<std::string> compare_notes(const ComparePlan& plan, const Comparison& comparison);

/// `record`: what --json prints.
Page compare_page(const ComparePlan& plan, const Comparison& comparison, const Json& record);

}  // namespace bitloom
