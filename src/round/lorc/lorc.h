#pragma once
// Low-rank compensation (LoRC; Yao et al., ZeroQuant-V2, 2303.08302, section 5): codes by another method, then a
// product of two thin matrices is added that stands for the largest part of what was lost.
//
//   E = W - Q,   U [rows, r]: the r leading left singular vectors of E,   W' = Q + A B,   A = U sqrt(S), B = sqrt(S)^-1
//   U^T E
//
// which is the published A = U sqrt(S), B = sqrt(S) V^T: U^T E = S V^T. `weighted` (ours): U are those of E H^1/2, H
// the inputs' second moment; of all products of rank r A B then leaves the least mean of |(W - Q - A B) x|^2. Factors
// are stored to nearest, a scale for each component where their storage has one for each row (format/side/low_rank.h);
// where that would lose more than the product gains, the product is 0.
//
// `rounds` takes turns as LoftQ does (Li et al. 2023, 2310.08659, algorithm 1: codes to nearest, 5 turns): codes of
// W - A B, then A B of what those lose; the best turn is kept, where LoftQ keeps the last.
//
// Goals: any rank, any base that the other method rounds onto. Non-goals: codes that know of the product beforehand.

#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "lorc".
struct LorcRounding {
  enum class Codes { kGptq, kNearest } codes = Codes::kGptq;  // who chooses them, with its defaults
  bool weighted = false;
  int64_t rounds = 1;
  bool operator==(const LorcRounding&) const = default;
};
extern const RoundingRow kLorcMethod;
Needs needs_of(const LorcRounding& options);
/// A base that the other method rounds onto, with the side term "lowrank".
bool rounds_onto(const LorcRounding& options, const Storage& storage);
Storage storage_by(const LorcRounding& options, Storage wanted);
RoundingCost cost_of(const LorcRounding& options, const RoundingShape& shape);
Rounded round_by(const LorcRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
