#pragma once
// A target corrected for drift (papers' beyond page, 2.5; the optimum that GPTAQ, Li et al. 2025, and Qronos, 2025,
// step towards): the float model's layer makes W f_t, here it reads x_t, so what is rounded is the matrix that makes W
// f_t of x_t best,
//
//   W* = W + beta c W M,   M = D (H + lambda I)^-1,   D = mean of (f - x) x^T,  H = mean of x x^T,
//   lambda = damping * mean H_jj
//
// beta 1 and c 1 are the least squares solution of these tokens. Of few tokens a part of M is chance, which other
// tokens pay for. c is the share that holds for them: the sequences are cut in halves A and B; what M_A, made from A,
// does for B is best at the share
//
//   c_half = tr(W K W^T) / tr(W L W^T),   K = M_A D_B^T + M_B D_A^T,   L = M_A H_B M_A^T + M_B H_A M_B^T,
//
// and as chance has twice the weight in half of the tokens (c_half = s / (s + 2 v) where c = s / (s + v)),
// c = 2 c_half / (1 + c_half), not below 0 nor above 1.

#include <vector>

#include "base/threads.h"
#include "observe/input_statistics.h"
#include "round/problem.h"
#include "round/rounding.h"

namespace bitloom {

/// Of one input, for all matrices that read it; all [n, n].
struct Drift {
  std::vector<float> matrix;             // M; empty: the inputs have no error of their own
  std::vector<float> held_gain, weight;  // K and L; empty: one half has no tokens, and nothing is held out
  bool empty() const { return matrix.empty(); }
};

/// What a drift costs: 15 n^3 multiply-adds an input, while nine such matrices are held,
/// of which three are kept; 3 rows n^2 a matrix, which is held in fp32 twice.
void add_drift_cost(const RoundingShape& shape, RoundingCost& cost);

/// Dead channels (H_jj = 0) count as 1. The damping is raised while H + lambda I has no factor. Error(kFailed) when no
/// damping below 1 gives one. The same bytes for any number of threads.
Drift make_drift(const InputStatistics& inputs, double damping, ThreadPool& threads);

/// The drift of the problem's inputs by what they gathered: made once, and kept in `shared` for all matrices that read
/// them while nothing else is kept there, so what a matrix has of its own must not be. Empty where the inputs have no
/// error of their own, the float model's being read. Valid as long as what InputCache gives.
const Drift& shared_drift(const RoundingProblem& problem, double damping);

/// c of w [rows, n]; 1 where nothing is held out.
double held_share(const Drift& drift, const std::vector<float>& w, int64_t n, ThreadPool& threads);

/// w [rows, n] <- w + beta c w M. Returns c, which `report` of what is rounded should hold (held_drift).
double correct_for_drift(const Drift& drift, double beta, int64_t n, std::vector<float>& w, ThreadPool& threads);

}  // namespace bitloom
