#include "round/column_loop/column_policy.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "round/column_loop/affine_columns.h"
#include "round/column_loop/codebook_columns.h"
#include "round/column_loop/grid_columns.h"
#include "round/kmeans/kmeans.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

struct PolicyRow {
  bool (*stores)(const Storage& storage);
  bool separable;
  double (*work)(const RoundingShape& shape);  // in weights rounded to nearest
  std::unique_ptr<ColumnPolicies> (*make)(const ColumnProblem& problem, ThreadPool& threads);
};

constexpr PolicyRow kPolicies[] = {
    {is_scaled_grid, true, nearest_work, make_grid_policies},
    {is_affine, true, affine_work, make_affine_policies},
    {is_column_codebook, false, kmeans_work, make_codebook_policies},
};

const PolicyRow* find_row(const Storage& storage) {
  const auto* row = std::find_if(std::begin(kPolicies), std::end(kPolicies),
                                 [&](const PolicyRow& candidate) { return candidate.stores(storage); });
  return row == std::end(kPolicies) ? nullptr : row;
}

const PolicyRow& row_of(const Storage& storage, const std::string& place) {
  if (const PolicyRow* row = find_row(storage)) return *row;
  misuse("{}: the columns of {} are not chosen one by one", place, to_string(storage));
}

}  // namespace

bool has_column_policies(const Storage& storage) { return find_row(storage) != nullptr; }

ColumnPolicyCost column_policy_cost(const RoundingShape& shape) {
  const PolicyRow& row = row_of(shape.target.storage, "a matrix");
  return {row.separable, row.work(shape)};
}

std::unique_ptr<ColumnPolicies> make_column_policies(const ColumnProblem& problem, ThreadPool& threads) {
  return row_of(problem.target.storage, problem.place).make(problem, threads);
}

}  // namespace bitloom
