#pragma once
// HQQ (Badri & Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"; papers' column-wise page,
// section 6): no data, zero points that make sum |w - s (q - z)|^p small, p < 1, so that few weights may err much. Half
// of the variables are held while the other half is solved for:
//
//   q = clamp(round(w / s + z), 0, 2^b - 1);   r = w - s (q - z)
//   e = sign(r) max(0, |r| - |r|^{p-1} / beta)                    the generalised soft threshold
//   z <- mean(q - (w - e) / s);   beta <- kappa beta              s stays that of the range
//
// until mean |r| grows; here in every group for itself, whose best zero point is kept (in the authors' code for the
// matrix as a whole, and the last). Beyond that code, unless `parity` says otherwise:
//   - groups of columns among which one is small (its root mean square less than half of the matrix's) get whole zero
//     points of 0 to 2^b - 1, b > 1, where their weights lie on both sides of 0, so that a level is exactly 0; with
//     second-level scales where their codes can hold those of all rows of a block. In a language model a few columns
//     may hold most of the inputs' energy and meet weights near 0, above all in value projections: levels beside 0 are
//     of less squared error in the weights, and of more in the outputs (docs/results.md).
//   - r is in units of s in the threshold, which for weights of a usual size is else above every error, so that e = 0
//     and the turns are least squares (|r|^{2-p} > 1 / beta: 0.17 for the default).
//   - narrower ranges are tried first. The power of errors that chooses between these, and whether the turns helped, is
//     2, since outputs err by squares.
//
// Goals: storages "affineB-gN", with or without second-level scales; with mixed widths all groups get the mean, since
// which deserve more only data tell. No data.

#include "format/families/affine/affine_matrix.h"
#include "round/affine/affine_fit.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "hqq".
struct HqqRounding {
  enum class Zeros { kAuto, kWhole, kReal };
  enum class Parity { kNone, kCode };
  int64_t iterations = 20;
  double norm = 0.7;  // p, at least 0.5
  double beta = 10, kappa = 1.01;
  double choice = 2;    // power of errors that chooses
  int64_t ranges = 12;  // tried, from the whole down to 45 % of it in steps of 5 %
  Zeros zeros = Zeros::kAuto;
  Parity parity = Parity::kNone;
  bool operator==(const HqqRounding&) const = default;
};

extern const RoundingRow kHqqMethod;
Needs needs_of(const HqqRounding& options);
bool rounds_onto(const HqqRounding& options, const Storage& storage);
Storage storage_by(const HqqRounding& options, Storage wanted);
RoundingCost cost_of(const HqqRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite.
Rounded round_by(const HqqRounding& options, const RoundingProblem& problem);

/// One group, before its numbers are rounded to fp16; in double.
struct HqqScale {
  double scale = 0, zero = 0;
};
/// The turns alone, from a scale that is kept and a zero point.
HqqScale half_quadratic(const std::vector<float>& w, int bits, const HqqRounding& options, HqqScale start);
/// Ranges, the turns from the best, and which of the two is better; `whole`: of whole zero points, where w has both
/// signs.
HqqScale solve_hqq(const std::vector<float>& w, int bits, const HqqRounding& options, bool whole);

}  // namespace bitloom
