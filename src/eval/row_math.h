#pragma once
// What is computed of one row of logits [vocab]: fp32 in, double inside, sums in order of the vocabulary.
// With m = max_v x_v and Z = sum_v exp(x_v - m):  log p_v = x_v - m - log Z.  Nothing overflows, and the largest term
// of Z is 1, so log Z >= 0 carries a relative error of a few vocab * 2^-53 at worst.

#include <array>
#include <cstdint>
#include <span>

namespace bitloom {

/// Index of the first value that is infinite or no number; -1 when there is none.
int64_t first_non_finite(std::span<const float> row);

/// Largest value and its index, the lowest among equals. Needs a finite row that is not empty.
struct Top {
  float value = 0;
  int64_t index = 0;
};
Top top_of(std::span<const float> row);

/// -log p_target.
double row_nll(std::span<const float> row, int64_t target);

/// A token that a model holds likely, and its log-probability. Token -1: none.
struct Candidate {
  int32_t token = -1;
  float log_p = 0;
};
/// Likeliest first, lowest id first among equals.
using Candidates = std::array<Candidate, 3>;

/// The candidates of finite logits whose log Z (of exp(x)) is `log_z`: log p_v = x_v - log_z.
Candidates candidates_of(std::span<const float> row, double log_z);

struct RowDivergence {
  double kl = 0;          // KL(p || q) >= 0; of a compact reference an unbiased estimate, which may err below 0
  double kl_certain = 0;  // KL is at least this: kl itself unless the reference is compact
  double variance = 0;    // of kl as an estimate, from above: 0 unless the reference is compact
  double nll_p = 0, nll_q = 0;
  bool same_top = false;
  Candidates p, q;
};

/// Of two rows p (the reference) and q:
///   KL = sum_v p_v (log p_v - log q_v) = sum_v p_v ((p~_v - q~_v)) + log Z_q - log Z_p,   x~ = x - max x.
/// Equal rows give exactly 0; a rounding error below 0 is returned as 0.
RowDivergence row_divergence(std::span<const float> p, std::span<const float> q, int64_t target);

}  // namespace bitloom
