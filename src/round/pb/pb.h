#pragma once
// PB-LLM (Shang et al. 2023, 2310.00034; papers' column-wise page, section 6) without its training: the weights of
// greatest saliency w_ij^2 / U_jj^2 in 8 bits, the others as mu_r +- alpha_r of their row, by error feedback. Levels
// are those of the original weights. (The authors' code takes means over masked weights too, as zeros, which makes
// alpha too small; here they are left out.)
//
// Goals: storages "partialS", of every share. Rows are separable.

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "pb".
struct PbRounding {
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kActivation;
  bool operator==(const PbRounding&) const = default;
};

extern const RoundingRow kPbMethod;
Needs needs_of(const PbRounding& options);
bool rounds_onto(const PbRounding& options, const Storage& storage);
Storage storage_by(const PbRounding& options, Storage wanted);
RoundingCost cost_of(const PbRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite.
Rounded round_by(const PbRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
