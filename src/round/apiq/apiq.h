#pragma once
// Codes and a product of two thin matrices that are chosen for each other (ApiQ-lw; Liao and Monz 2024, 2402.05147,
// section 4; papers' learned page, 3): the layer is to make of what it really gets what the float model's makes,
//
//   min over Q, A, B of  E |W f - (Q + A B) x|^2  =  <E, E H> + what no choice changes,   E = W* - Q - A B
//
//   W* = W + drift W D (H + lambda I)^-1,   H = mean of x x^T,   D = mean of (f - x) x^T      (round/drift/drift.h)
//
// f what the float model's layer reads, x what this one does. A and B are where fine-tuning begins (export/peft);
// LoftQ (lorc:nearest,rounds=5) begins at the least error of weights, QLoRA at A B = 0.
//
// Ours takes turns: codes of W* - A B by error feedback, then the A B that is best beside them, which has a closed form
// (round/lorc/low_rank_pair.h). `rounds` times; the best turn is kept.
// parity=paper: Q to nearest of W by a learned clip (clip.h), from A random, B 0 (peft's start), all learned together
// by AdamW, here on the moments, so that a step sees all tokens at once; the paper's 20 epochs of 128 sequences are
// 2560 steps of one sequence each. That needs integers with zero points and fp16 scales.
//
// Goals: any storage that error feedback rounds onto; the same bytes for any number of threads. Non-goals: blocks as a
// whole (the paper's block-wise form).

#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "apiq".
struct ApiqRounding {
  enum class Parity { kNone, kPaper } parity = Parity::kNone;
  int64_t rounds = 6;     // turns
  double drift = 1;       // share of the inputs' own error that is made up for
  double damping = 0.01;  // of H
  int64_t steps = 2560;   // parity=paper, as all below: of AdamW
  double rate = 1e-3;     // of A and B
  double clip_rate = 5e-3;
  double decay = 0.1;
  bool operator==(const ApiqRounding&) const = default;
};
extern const RoundingRow kApiqMethod;
Needs needs_of(const ApiqRounding& options);
/// A base that error feedback rounds onto, with the side term "lowrank".
bool rounds_onto(const ApiqRounding& options, const Storage& storage);
Storage storage_by(const ApiqRounding& options, Storage wanted);
RoundingCost cost_of(const ApiqRounding& options, const RoundingShape& shape);
/// Error(kRefused) for weights that are not finite; Error(kFailed) for a loss that is not.
Rounded round_by(const ApiqRounding& options, const RoundingProblem& problem);

}  // namespace bitloom
