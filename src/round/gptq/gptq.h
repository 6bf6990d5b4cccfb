#pragma once
// Rounding with error feedback (GPTQ; Frantar et al., 2023): each column's rounding error is fed into the columns not
// yet rounded, so that the layer's outputs, not its weights, stay close.
//
// Goals: every storage that has a column policy (round/column_loop/column_policy.h): scaled grids, column codebooks;
// the same codes for any number of threads and ranks.

#include <memory>
#include <string>

#include "base/memory/row_source.h"
#include "base/ranks.h"
#include "base/threads.h"
#include "format/stored_matrix.h"
#include "round/column_loop/column_policy.h"
#include "round/gptq/gptq_factor.h"
#include "round/report.h"
#include "round/rounding.h"

namespace bitloom {

extern const RoundingRow kGptqMethod;
struct GuidedMoments;  // observe/moment/guided_moments.h
Needs needs_of(const GptqRounding& options);
bool rounds_onto(const GptqRounding& options, const Storage& storage);
Storage storage_by(const GptqRounding& options, Storage wanted);
RoundingCost cost_of(const GptqRounding& options, const RoundingShape& shape);
/// Ranks share whole tiles of rows, where rows are separable.
Rounded round_by(const GptqRounding& options, const RoundingProblem& problem);
/// Of round/feedback_share.h: L^-T = U^T with rows of U over their diagonal, in the order in which columns are visited.
double feedback_share_by(const GptqRounding& options, const RoundingProblem& problem, const GuidedMoments& errors);

struct GptqReport {
  RoundReport rounding;  // compensation_ratio included
  /// sum of e_j^2 over all rows; without a correction tr((W - Q) H_d (W - Q)^T).
  double loss = 0;
};

/// W [rows, channels], of whose input `factor` is. `static_groups`: group scales from the original weights. Searches
/// of scales weigh errors by factor.error_costs(). Error(kRefused) naming `name` for NaN and Inf, kFailed when W
/// does not fit the factor. Memory: per thread three tiles of at most kGptqTileRows rows of W in fp32; where rows are
/// not separable, three times W.
std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w,
                                                  const RoundingTarget& target, const GptqFactor& factor,
                                                  bool static_groups, Ranks& ranks, ThreadPool& threads,
                                                  GptqReport* report = nullptr);

/// The same in one process.
std::shared_ptr<const StoredMatrix> quantize_gptq(const std::string& name, const RowSource& w,
                                                  const RoundingTarget& target, const GptqFactor& factor,
                                                  bool static_groups, ThreadPool& threads,
                                                  GptqReport* report = nullptr);

/// W by any policies, which must be of W's shape and of the factor's order; the matrix is policies.finish()'s.
std::shared_ptr<const StoredMatrix> quantize_columns(const std::string& name, const RowSource& w,
                                                     ColumnPolicies& policies, const GptqFactor& factor, Ranks& ranks,
                                                     ThreadPool& threads, GptqReport* report = nullptr);

/// The factor of the problem's inputs, shared by all matrices that read them. `group`: as make_gptq_factor; counts for
/// ColumnOrder::kGroupAware only. Error starts with the problem's place.
const GptqFactor& shared_factor(const GptqRounding& options, int64_t group, const RoundingProblem& problem);
/// The report of a matrix rounded by error feedback, with what became of the damping that was asked for.
RoundReport feedback_report(const GptqReport& report, const GptqFactor& factor, double damping);
/// What the loop takes on this shape, whose policies cost `policy`.
RoundingCost feedback_cost(const RoundingShape& shape, const ColumnPolicyCost& policy, bool corrects);

/// Separable rows are solved this many at a time.
inline constexpr int64_t kGptqTileRows = 256;

}  // namespace bitloom
