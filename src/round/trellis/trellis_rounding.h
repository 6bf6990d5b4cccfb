#pragma once
// Rounding onto codes of tiles (tile_code.h), two methods:
//
//   "viterbi"  tiles [16 x 16] of W / scale in a trellis code, each the nearest path of Viterbi's search (viterbi.h);
//              without data (QTIP, Tseng et al. 2024; papers' beyond page, 2.1)
//   "ldlq"     tiles of a trellis code, or of 8 points of a lattice (QuIP#, Tseng et al. 2024), with feedback from
//              tile to tile (tile_loop.h; the beyond page, 2.4), by the second moment of the inputs; with two-sided
//              also by that of the gradients of the outputs (YAQA, Tseng et al. 2025)
//
//   scale = rms(W) / (share units)
//
// units: in which the code fits a source of variance 1. share: 1 without feedback, which makes what is rounded larger
// than the weights, so the code is made for weights so much smaller.
//
// Goals: the same bits for any number of threads and of ranks given the same statistics (two-sided, each rank rounds
// the whole matrix). Memory: W in fp32 twice, the factor and the matrix that it is made from, a search's scratch per
// thread.

#include "format/families/trellis/trellis_storage.h"
#include "round/rounding.h"

namespace bitloom {

struct ViterbiRounding {
  bool operator==(const ViterbiRounding&) const = default;
};
extern const RoundingRow kViterbiMethod;
Needs needs_of(const ViterbiRounding& options);
bool rounds_onto(const ViterbiRounding& options, const Storage& storage);
Storage storage_by(const ViterbiRounding& options, Storage wanted);
RoundingCost cost_of(const ViterbiRounding& options, const RoundingShape& shape);
Rounded round_by(const ViterbiRounding& options, const RoundingProblem& problem);

struct GuidedMoments;  // observe/moment/guided_moments.h

struct LdlqRounding {
  double damping = 0.01;
  double share = 0.9;
  bool guided = false;          // H_I weighs tokens by their outputs' gradients (observe/moment/guided_moments.h)
  bool two_sided = false;       // the same, and feedback down the columns by H_O, the outputs' gradients' moment
  double output_damping = 0.1;  // of H_O
  double drift = 0;             // share of the inputs' own error that the target makes up for (round/drift/drift.h)
  bool operator==(const LdlqRounding&) const = default;
};
extern const RoundingRow kLdlqMethod;
Needs needs_of(const LdlqRounding& options);
bool rounds_onto(const LdlqRounding& options, const Storage& storage);
Storage storage_by(const LdlqRounding& options, Storage wanted);
RoundingCost cost_of(const LdlqRounding& options, const RoundingShape& shape);
Rounded round_by(const LdlqRounding& options, const RoundingProblem& problem);
/// Of round/feedback_share.h with the factors of block_ldl.h, over share^2: the code's error is that of weights 1 /
/// share times as large.
double feedback_share_by(const LdlqRounding& options, const RoundingProblem& problem, const GuidedMoments& errors);

}  // namespace bitloom
