#pragma once
// The column policy of binary planes (round/billm/billm.h). Thresholds and salient columns are shared by all rows, so
// the loop gets all of them at once.

#include <memory>
#include <string>
#include <vector>

#include "round/billm/billm.h"
#include "round/column_loop/column_policy.h"

namespace bitloom {

/// `costs`: 1 / U_jj^2 by column. What is referred to must outlive the policies.
struct PlaneProblem {
  const std::string& place;
  const RowSource& weights;
  const Storage& storage;  // planes
  const std::vector<int64_t>& order;
  const std::vector<float>& costs;
  BillmRounding options;
};
std::unique_ptr<ColumnPolicies> make_plane_policies(const PlaneProblem& problem, ThreadPool& threads);

}  // namespace bitloom
