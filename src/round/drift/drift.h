#pragma once
// A target corrected for drift (papers' beyond page, 2.5; the optimum that GPTAQ, Li et al. 2025, and Qronos, 2025,
// step towards): the float model's layer makes W f_t, here it reads x_t, so what is rounded is the matrix that makes W
// f_t of x_t best,
//
//   W* = W + beta W D (H + lambda I)^-1,   D = mean of (f - x) x^T,  H = mean of x x^T,  lambda = damping * mean H_jj
//
// beta 1 is the least squares solution; less guards against too few tokens.

#include <vector>

#include "base/threads.h"
#include "observe/moment/cross_moment.h"
#include "observe/moment/second_moment.h"
#include "round/problem.h"

namespace bitloom {

/// D (H + lambda I)^-1 [n, n], of one input and for all matrices that read it. Dead channels (H_jj = 0) count as 1.
/// The damping is raised while H + lambda I has no factor. Error(kFailed) when no damping below 1 gives one. 8/3 n^3
/// multiply-adds; memory: two more such matrices. The same bytes for any number of threads.
std::vector<float> make_drift(const SecondMoment& moment, const CrossMoment& cross, double damping,
                              ThreadPool& threads);

/// The drift of the problem's inputs by what they gathered: made once, and kept in `shared` for all matrices that read
/// them while nothing else is kept there, so what a matrix has of its own must not be. Empty where the inputs have no
/// error of their own, the float model's being read. Valid as long as what InputCache gives.
const std::vector<float>& shared_drift(const RoundingProblem& problem, double damping);

/// w [rows, n] <- w + beta w drift.
void correct_for_drift(const std::vector<float>& drift, float beta, int64_t n, std::vector<float>& w,
                       ThreadPool& threads);

}  // namespace bitloom
