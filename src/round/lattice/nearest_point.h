#pragma once
// Nearest rounding onto E8P: the matrix has the scale at which the lattice codes normal weights of its size best, and
// every 8 weights of a row become the nearest point. What "nearest" (round/nearest) does for this storage.

#include "round/problem.h"

namespace bitloom {

/// Without side terms.
bool is_e8p(const Storage& storage);
/// Of one weight, in weights rounded to nearest.
inline constexpr double kE8pWork = 12;

/// Error(kRefused), starting with the problem's place, for weights that are not finite. Memory: W in fp32.
Rounded round_to_points(const RoundingProblem& problem);

}  // namespace bitloom
