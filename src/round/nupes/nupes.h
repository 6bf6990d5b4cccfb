#pragma once
// NUPES (Yvinec et al., 2308.05600; no code was published; papers' learned-and-vector page, 4.4): codes of a power grid
// learned over its whole range, and its exponent, for the smallest error of the layer's outputs.
//
//   min over codes k, scales s and the exponent a of  tr((W~ - W) H (W~ - W)^T),   w~ = s sign(k) (|k| / q)^(1/a)
//
// 1. The exponent, on evenly spaced rows: from the target's, by steps of 0.08, 0.04 and 0.02 for as long as the loss
//    falls that nearest rounding (scales searched anew for each exponent) and coordinate descent over all codes leave.
// 2. At that exponent codes up or down by AdaRound, then the same descent, which may move a code to any level.
//
// The abstract learns codes and exponent by one gradient descent. Written so (places between levels that sharpen to
// codes, Adam on them and on the exponent), it left 1.3 times AdaRound's loss on normal weights of 128 x 128 with
// correlated inputs, 3 and 4 bits, and moved exponents by some thousandths: codes that settle hold the exponent where
// it is. These two steps leave 0.98 and 0.99 of AdaRound's loss at the data-free exponent there (0.98 with that
// exponent kept: on normal weights its search gains nothing), and 0.79 where weights are cubes of normal numbers (0.88
// and 0.90).
//
// Goals: any granularity of scaled power grids; one exponent for each matrix, in the name of its storage; never worse,
// row by row, than AdaRound and than nearest rounding at that exponent; no activations, only their moments; the same
// bytes for any number of threads. Non-goals: learned scales, whole blocks, activations in powers.

#include <memory>
#include <string>

#include "round/adaround/adaround.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "nupes".
struct NupesRounding {
  int64_t iterations = 400;  // of AdaRound
  int64_t passes = 10;       // of the descent over all codes, at most; 0: none
  bool exponent = true;      // is searched; else it stays as the target has it
  bool operator==(const NupesRounding&) const = default;
};
extern const RoundingRow kNupesMethod;
Needs needs_of(const NupesRounding& options);
bool rounds_onto(const NupesRounding& options, const Storage& storage);
Storage storage_by(const NupesRounding& options, Storage wanted);
RoundingCost cost_of(const NupesRounding& options, const RoundingShape& shape);
Rounded round_by(const NupesRounding& options, const RoundingProblem& problem);

struct NupesReport {
  RoundReport rounding;
  double exponent = 0;
  // tr((Q - W) H (Q - W)^T), less the pull where there is a cross moment: at the end, and of AdaRound and nearest
  // rounding at the same exponent.
  double output_error = 0, output_error_adaround = 0, output_error_nearest = 0;
};

/// W [rows, channels] onto a power grid (Error(kUsage) otherwise). Errors and memory as quantize_adaround, and W twice
/// in bytes.
std::shared_ptr<const StoredMatrix> quantize_nupes(const std::string& name, const RowSource& w,
                                                   const GridTarget& target, const LayerStatistics& layer,
                                                   const NupesRounding& options, ThreadPool& threads,
                                                   NupesReport* report = nullptr);

}  // namespace bitloom
