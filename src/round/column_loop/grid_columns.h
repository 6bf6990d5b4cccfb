#pragma once
// The column policy of scaled grids: each weight to the nearest level of its row's grid, scales given or fitted when
// their group begins. Rows are separable.
//
// Scales of groups are fitted on compensated weights when their group begins (fresh groups), unless they must be known
// beforehand: tensor, row and block scales, M2 constraints, static groups, an order that takes groups apart. Then they
// are those of nearest rounding.

#include <memory>

#include "round/column_loop/column_policy.h"

namespace bitloom {

std::unique_ptr<ColumnPolicies> make_grid_policies(const ColumnProblem& problem, ThreadPool& threads);

}  // namespace bitloom
