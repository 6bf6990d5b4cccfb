#pragma once
// SliM-LLM (Huang et al. 2024, 2405.14917; papers' column-wise page, 5.1): error feedback onto groups of columns of N -
// 1, N or N + 1 bits, as many of the one as of the other, so that the mean stays N.
//
//   saliency of group k: sum over its weights of w_ij^2 / U_jj^2
//   for m = 0, 1, ...: the m least salient groups get N - 1 bits, the m most salient N + 1; every group is rounded to
//   nearest; m with the least score is taken                                  (SBA, salience-determined bit allocation)
//
// The paper's score is KL(softmax(W x) || softmax(W_hat x)), the mean over inputs x (its code takes the divergence in
// the other direction). Of the inputs only their second moment H is kept, so x is drawn from a normal distribution with
// it: x = U^-1 z, since H^-1 = U^T U.
//
// Beyond the paper, unless `parity` says otherwise: the score is sum |W x - W_hat x|^2 over the same inputs, m = 0 is
// tried, and scales and zero points are those of the least weighted error (there the range times 0.9 to 1.1, SQC,
// salience-weighted quantizer calibration). A model of 3.1 M parameters at 2 bits in groups of 64: KL 0.1673, scored by
// divergence 0.1721, all groups alike 0.1714.
//
// Goals: storages "affineB-gN-mixed" of 2 to 7 bits. Rows are separable.

#include <vector>

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "slim".
struct SlimRounding {
  enum class Score { kKl, kOutput };
  enum class Parity { kNone, kPaper };
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kGroupAware;
  Score score = Score::kOutput;
  int64_t inputs = 128;  // drawn for the score
  double salience = 1;   // weight of errors of weights beyond three standard deviations of their group (lambda)
  Parity parity = Parity::kNone;
  bool operator==(const SlimRounding&) const = default;
};

extern const RoundingRow kSlimMethod;
Needs needs_of(const SlimRounding& options);
bool rounds_onto(const SlimRounding& options, const Storage& storage);
Storage storage_by(const SlimRounding& options, Storage wanted);
RoundingCost cost_of(const SlimRounding& options, const RoundingShape& shape);
/// Error(kUsage) for a width that has no neighbours; Error(kRefused) for weights that are not finite.
Rounded round_by(const SlimRounding& options, const RoundingProblem& problem);

/// `bits` of every group; the m least of `saliencies` one less, the m greatest one more. Among equals the first is the
/// less salient. A last group of fewer columns keeps `bits`: `whole` groups take part.
std::vector<uint8_t> slim_widths(const std::vector<double>& saliencies, int bits, int64_t whole, int64_t m);
/// `count` inputs [count, channels] from a normal distribution whose second moment is the damped one that the factor
/// was made of; 0 in dead columns.
std::vector<float> draw_inputs(const GptqFactor& factor, int64_t count, ThreadPool& threads);
/// Mean over inputs of KL(softmax(y) || softmax(y + d)), y and d [inputs, outputs].
double mean_softmax_kl(const std::vector<float>& y, const std::vector<float>& d, int64_t inputs);

}  // namespace bitloom
