#pragma once
// A minifloat whose split into exponent and mantissa is learned, beside latent weights and the ranges of their groups
// (Kuzmin et al. 2022, 2208.09225; papers' floating-point page, 7.2). n bits, M of them mantissa, a real number while
// it is learned, one for a matrix W [rows, cols]; the forward pass rounds it. With E = n - 1 - M, c the greatest number
// that a group holds, w a latent weight and x = min(max(w, -c), c):
//
//   b = 2^E - log2 c + log2(2 - 2^-M) - 1
//   p = max(floor(log2 |x| + b), 1),  s = 2^(p - M - b),  W = s round(x / s)
//
// which is the nearest level of ExMy at the scale c / v_max. That is rounded to its type, so W is what will be stored.
// As rounding lets gradients through, dW/dM = (W - w) ln 2 d(log2 s)/dM and dW/dc = (W - w) d(log2 s)/dc ln 2, where
//
//                               d(log2 s)/dM                             dW/dc
//   p = 1: one step for all     K(M) = -1 + ln 2 2^E - 2^-M / (2 - 2^-M)   (W - w) / c
//   p > 1: a step by binade     -1                                         0
//   |w| > c                     dW/dM = 0                                  sign w
//   the paper's, |w| <= c       K(M)                                       (W - w) / c
//
// The paper holds p constant (K(M) everywhere), so that the steps of all binades seem to follow b. Of squared errors
// that has one sign, as K(M) > 0: sum (W - w)^2 ln 2 K(M) takes M down to the least there is, whatever the weights. In
// truth p goes up as b does, binade by binade, and s falls with M alone: gradients go straight through the floor as
// well, and what more mantissa bits bring to the binades is weighed against what more exponent bits bring below them.
//
// They are taken at the real M, with the steps that s(M) gives there and the errors x / s - round(x / s) of the rounded
// one. Where M rests between two formats it goes to and fro about the middle, and stays longer at the one where less
// draws it away: the mean of what it rounded to over the third quarter of all steps, rounded, is the format that stays
// (as oscillating weights are frozen by Nagel et al. 2022, 2203.11086), and the last quarter is the others' to follow.
// The paper's goes on to the end.
//
// E is 1 to 5 and M >= 0 (the paper's: M >= 1, E down to 0, which has no levels of its own; page 0.1).

#include <cstdint>
#include <memory>

#include "tune/learned/parametrisation.h"

namespace bitloom {

/// End the names of a matrix's ranges c, and of M and its running mean.
inline constexpr const char *kRangeSuffix = ".range", *kMantissaSuffix = ".mantissa";

enum class FormatGradient { kThroughFloor, kPaper };

/// Whether its format can be learned: a grid in eXmY, X 1 to 5, no code reserved and the usual bias, with fp16 or bf16
/// scales and without side terms.
bool has_learned_format(const Storage& storage);

/// The matrix must have one. Latent weights begin at `before` [rows, cols], what it was rounded from, each brought
/// into the range of its code, so that W is the matrix as it came. Scales of other formats are of the type that their
/// spelling has (bf16 where one reaches beyond 512, else fp16), but that one that was named stays (with_format()).
std::unique_ptr<const Parametrisation> learned_format(const StoredMatrix& matrix, const RowSource& before,
                                                      FormatGradient gradient);

LearnedSize learned_format_size(const Storage& storage, int64_t rows, int64_t cols);

}  // namespace bitloom
