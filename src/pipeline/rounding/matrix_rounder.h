#pragma once
// Rounds the matrices that read one input, and records what came of each.

#include <functional>
#include <memory>
#include <string>

#include "base/ranks.h"
#include "observe/input_statistics.h"
#include "pipeline/rounding/site_record.h"
#include "recipe/recipe.h"
#include "round/round_matrix.h"

namespace bitloom {

class MatrixRounder {
 public:
  /// `statistics` of the input, null without data; they must outlive the rounder. All ranks round the same matrices in
  /// the same order.
  /// `activations`: what the input is rounded to, or null. Both are of what the matrices read: where channels are
  /// moved, of the moved ones, and the format names no moves.
  MatrixRounder(const InputStatistics* statistics, Ranks& ranks, ThreadPool& threads,
                const ActivationFormat* activations = nullptr)
      : statistics_(statistics), ranks_(ranks), threads_(threads), activations_(activations) {}

  /// W as the step says: see round_matrix(). `place` ("FILE: tensor 'NAME'") starts every message. Fills in all of the
  /// record but its name. `guided`: of this matrix, where the step needs it. on_progress: see RoundingProblem.
  Rounded round(const std::string& place, const RowSource& w, const RecipeStep& step, SiteRecord& record,
                const GuidedMoments* guided = nullptr, const std::function<void(double)>& on_progress = {});

 private:
  const InputStatistics* statistics_;
  Ranks& ranks_;
  ThreadPool& threads_;
  const ActivationFormat* activations_;
  InputCache shared_;
};

}  // namespace bitloom
