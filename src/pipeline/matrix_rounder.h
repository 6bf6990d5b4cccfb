#pragma once
// Rounds the matrices that read one input: hands each its algorithm, shares what they can share, and records what came
// of it.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "format/stored_matrix.h"
#include "observe/input_statistics.h"
#include "pipeline/quantize_model.h"
#include "pipeline/ranks.h"
#include "recipe/recipe.h"
#include "round/feedback_factor.h"

namespace bitloom {

class MatrixRounder {
 public:
  /// `statistics` may be null when no step needs data; it must outlive the rounder.
  /// All ranks round the same matrices in the same order, each some rows where the rounding allows; all get all rows.
  MatrixRounder(const InputStatistics* statistics, Ranks& ranks, ThreadPool& threads);
  ~MatrixRounder();

  /// W as the step says. `place` ("FILE: tensor 'NAME'") starts every message; the record's name is the caller's.
  std::shared_ptr<const StoredMatrix> round_matrix(const std::string& place, const RowSource& w,
                                                      const RecipeStep& step, SiteRecord& record);

 private:
  struct Visitor;
  const FeedbackFactor& factor_for(const std::string& place, const FeedbackRounding& rounding, int64_t group);
  const CrossMoment* cross() const;
  void describe_data(const RowSource& w, const RowSource& q, SiteRecord& record);

  const InputStatistics* statistics_;
  Ranks& ranks_;
  ThreadPool& threads_;
  std::unique_ptr<FeedbackFactor> factor_;  // the last one made, for `made_for_`
  FeedbackRounding made_for_;
  int64_t made_for_group_ = -1;
};

}  // namespace bitloom
