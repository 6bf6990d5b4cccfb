#pragma once
// What `bitloom compare` shows: the table, remarks and the page of `--html`.

#include <string>
#include <vector>

#include "judge/comparison.h"
#include "report/page/page.h"
#include "report/table.h"

namespace bitloom {

/// A row for each model, the reference first.
Table compare_table(const Comparison& comparison, bool per_byte);

/// A row for each metric of a task and each model, with the paired test against the reference; empty without tasks.
Table skill_table(const Comparison& comparison);

/// What must be said below the table: units, protocol, the error of a compact reference, text that a model was
/// calibrated on.
std::vector<std::string> compare_notes(const ComparePlan& plan, const Comparison& comparison);

/// `record`: what --json prints.
Page compare_page(const ComparePlan& plan, const Comparison& comparison, const Json& record);

}  // namespace bitloom
