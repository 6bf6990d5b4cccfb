#pragma once
// BiLLM (Huang et al. 2024, 2402.04291; papers' column-wise page, section 4): error feedback onto binary planes. For
// every block of columns, when its turn comes:
//
//   s_ij = w_ij^2 / U_jj^2; columns by falling sum_i |s_ij|; the first m* of them are salient and get two planes
//   p*   = the threshold that splits the other weights into concentrated and outer ones with the least error
//   levels of each row's three groups; then column after column codes on the weights as compensated so far
//
// The paper and its code differ, and each is reproduced by `parity`: the code searches on the saliencies instead of the
// weights and feeds errors to later blocks only, by U's diagonal; the paper's levels have no means
// (planes-...-zeromean). Otherwise errors are weighed by 1 / U_jj^2, and thresholds are in units of each row's root
// mean square, since rows differ in size and the group of a weight is stored anyway.
//
// Goals: storages "planes-gN...", any block. Non-goals: groups that share levels across rows.

#include <cstdint>

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "billm".
struct BillmRounding {
  enum class Feedback {
    kSequential,  // levels are fixed, codes are chosen on compensated weights
    kTriangular,  // codes are fixed too; their errors are fed forward exactly
    kDiagonal,    // to later blocks only, each divided by U_jj
  };
  enum class Split { kWeight, kSaliency };
  enum class Groups {
    kFixed,  // as the threshold says
    kFree,   // the nearest of both groups' values
  };
  enum class Parity { kNone, kPaper, kCode };
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kGroupAware;  // blocks stay together
  Feedback feedback = Feedback::kSequential;
  Split split = Split::kWeight;
  Groups groups = Groups::kFree;
  int64_t refine = 0;  // turns of codes and levels (ARB-LLM)
  Parity parity = Parity::kNone;
  bool operator==(const BillmRounding&) const = default;
};

extern const RoundingRow kBillmMethod;
Needs needs_of(const BillmRounding& options);
bool rounds_onto(const BillmRounding& options, const Storage& storage);
Storage storage_by(const BillmRounding& options, Storage wanted);
RoundingCost cost_of(const BillmRounding& options, const RoundingShape& shape);
/// Error(kUsage) for an order that takes blocks apart; Error(kRefused) for weights that are not finite.
Rounded round_by(const BillmRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
