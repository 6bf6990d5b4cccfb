#pragma once
// What is computed of one row of logits [vocab]: fp32 in, double inside, sums in order of the vocabulary.
// With m = max_v x_v and Z = sum_v exp(x_v - m):  log p_v = x_v - m - log Z.  Nothing overflows, and the largest term
// of Z is 1, so log Z >= 0 carries a relative error of a few vocab * 2^-53 at worst.

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

struct RowDivergence {
  double kl = 0;  // KL(p || q) >= 0
  double nll_p = 0, nll_q = 0;
  bool same_top = false;
};

/// Of two rows p (the reference) and q:
///   KL = sum_v p_v (log p_v - log q_v) = sum_v p_v ((p~_v - q~_v)) + log Z_q - log Z_p,   x~ = x - max x.
/// Equal rows give exactly 0; a rounding error below 0 is returned as 0.
RowDivergence row_divergence(std::span<const float> p, std::span<const float> q, int64_t target);

}  // namespace bitloom
