#include "round/column_loop/column_policy.h"

#include "base/error.h"
#include "round/column_loop/codebook_columns.h"
#include "round/column_loop/grid_columns.h"

namespace bitloom {
namespace {

struct PolicyRow {
  bool (*stores)(const Storage& storage);
  std::unique_ptr<ColumnPolicies> (*make)(const ColumnProblem& problem, ThreadPool& threads);
};

constexpr PolicyRow kPolicies[] = {
    {is_scaled_grid, make_grid_policies},
    {is_column_codebook, make_codebook_policies},
};

}  // namespace

bool has_column_policies(const Storage& storage) {
  for (const PolicyRow& row : kPolicies) {
    if (row.stores(storage)) return true;
  }
  return false;
}

std::unique_ptr<ColumnPolicies> make_column_policies(const ColumnProblem& problem, ThreadPool& threads) {
  for (const PolicyRow& row : kPolicies) {
    if (row.stores(problem.target.storage)) return row.make(problem, threads);
  }
  misuse("{}: the columns of {} are not chosen one by one", problem.place, to_string(problem.target.storage));
}

}  // namespace bitloom
