#pragma once
// A sketch of one row of probabilities p [vocab] that is small and still gives KL(p || q) for any q whose logits are
// known in full, with an error that is known, too.
//
// Kept. The likeliest tokens C ("certain") with log p as fp32; the mass P of all others ("tail"); m tokens of the tail
// drawn with probabilities p_v / P, one from each of m slices of equal mass, with log p. Of n entries k are certain,
// the least k >= 3 for which no tail token is likelier than a slice: p_(k+1) <= P / (n - k). A vocabulary of at most n
// tokens is kept whole, and all below is exact.
//
// Read. With D_v = log p_v - log q_v, Q = sum of q over the tail (exact, as q is known), D'_v = D_v - log(P / Q):
//   KL = L + P E[D'],    L = sum_{v in C} p_v D_v + P log(P / Q),    E over the tail under p_v / P.
// L needs nothing that was left out, and by the log-sum inequality KL >= L. Since E[exp(-D')] = 1 exactly,
//   K = L + P / m sum_j h(D'_j),    h(d) = d + c (exp(-d) - 1)
// is unbiased for every c that does not depend on the draws. c = 1 makes h about d^2 / 2 >= 0, whose spread is of the
// size of h itself however close the models are, and K = KL = 0 when q = p; for models far apart exp(-d) is the noise.
// For normal log-ratios of variance s^2 the variance of h is least at c = s^2 / (exp(s^2) - 1): that c is used, with
// s^2 = sum_{v in C} p_v D_v^2 / sum_{v in C} p_v.
//
// Error. Draws of different slices are independent, so with h_j = h(D'_j)
//   V = (P / m)^2 m / (m - 1) sum_j (h_j - mean h)^2    has    E[V] = Var[K] + a term >= 0 of slices' different means:
// an estimate of the variance that errs upwards. Rows are drawn independently, so variances of rows add. log p as fp32
// is off by e <= 2^-24 |log p|, which moves KL by at most about e (sum p |D|): nothing beside the rest.

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "eval/row_math.h"

namespace bitloom {

/// Fewer entries than this sketch nothing.
inline constexpr int64_t kLeastCompactEntries = 8;

struct CompactRow {
  struct Entry {
    int32_t token = 0;
    float log_p = 0;
  };
  int32_t top = 0;             // the likeliest token, lowest id among equals
  float log_target = 0;        // of the text's own token
  float log_tail = 0;          // log P; nothing when `drawn` is empty
  std::vector<Entry> certain;  // ids rising
  std::vector<Entry> drawn;    // slice by slice; empty when the tail has no mass
};

/// The sketch of finite logits with at most `entries` >= kLeastCompactEntries entries. The draws come from `rng`.
CompactRow compact_row(std::span<const float> logits, int64_t target, int64_t entries, Rng rng);

/// KL(p || q) as derived above, of the sketched p and finite logits of q [vocab]. nll_p, nll_q and same_top are exact;
/// candidates of p are the likeliest certain tokens. Tokens of the sketch must be inside q's vocabulary.
RowDivergence compact_divergence(const CompactRow& row, std::span<const float> logits, int64_t target);

}  // namespace bitloom
