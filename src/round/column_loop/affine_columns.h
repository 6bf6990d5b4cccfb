#pragma once
// The column policy of affine codes (format/families/affine): scale and zero point of a row's group are fitted to its
// compensated weights when it begins, and every weight takes its nearest level. What SpQR and SliM-LLM add is a plan:
// widths by group, and weights that are kept in fp16 beside the codes.
//
//   q_ij = s (code_ij - z),  or s (code_ij - z) + v_ij in fp16 where the weight is kept
//
// A weight is kept when its error would cost more than a threshold, (w_ij - s (code_ij - z))^2 / U_jj^2 > t (SpQR,
// Dettmers et al. 2023, 4.2). Scales are fitted without weights that, left out of their group, lessen its error by more
// than t: the one that gains most, then the one that gains most of the rest. SpQR leaves out all at once that gain in
// the group as it is, so that an outlier takes others with it which the rest would serve.
//
// Rows are separable in tiles of whole blocks that share second-level scales. Where groups do not lie together in the
// order of the loop, or static_groups asks for it, scales are those of the original weights.

#include <limits>
#include <memory>
#include <vector>

#include "format/families/affine/affine_matrix.h"
#include "round/affine/affine_fit.h"
#include "round/column_loop/column_policy.h"

namespace bitloom {

struct AffinePlan {
  std::vector<uint8_t> widths;                        // bits by group; empty: all as the storage says
  AffineSearch search = AffineSearch::kLeastSquares;  // errors weighted by column costs
  double salient_weight =
      1;  // of errors of weights beyond three standard deviations of their group (SliM-LLM's lambda)
  double threshold = std::numeric_limits<double>::infinity();  // t
  double most_kept = 0;             // share of the weights, at most; columns that come first take theirs first
  bool leaves_out_at_once = false;  // as SpQR's code
};

/// Affine codes without side terms.
bool is_affine(const Storage& storage);
/// What choosing every column takes, in weights rounded to nearest.
double affine_work(const RoundingShape& shape);
std::unique_ptr<ColumnPolicies> make_affine_policies(const ColumnProblem& problem, ThreadPool& threads);
/// `storage`: affine, with outliers where most_kept is above 0.
std::unique_ptr<ColumnPolicies> make_affine_policies(const ColumnProblem& problem, const Storage& storage,
                                                     AffinePlan plan, ThreadPool& threads);

/// Scale and zero point of a group without the weights that are likely to be kept at the threshold, left out one by one
/// or at once; and the others.
struct OutlierFit {
  AffineScale scale;
  AffineGroup fitted;
};
OutlierFit fit_without_outliers(const AffineGroup& group, int bits, AffineSearch search, double threshold);
OutlierFit fit_leaving_out_at_once(const AffineGroup& group, int bits, AffineSearch search, double threshold);

}  // namespace bitloom
