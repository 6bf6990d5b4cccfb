#pragma once
// What a matrix's error E = W - Q is expected to cost, in nats per token that the layer saw (papers' beyond page, 2.3):
//
//   kappa(E) = m / (2 tr H_O) tr(H_O E H_I E^T),   H_I, H_O the means of guided_moments.h, E [m, n]
//
// Without H_O it counts as (tr H_O / m) I, and kappa is tr(E H_I E^T) / 2. Of one token, (g . E x)^2 / 2: the second
// order of the loss. Matrices' values add up while each is small.

#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "observe/moment/guided_moments.h"

namespace bitloom {

/// Error(kFailed) when shapes differ. fp32 products, added up in fp64 in a fixed order: the same value for any number
/// of threads. m n (m + n) multiply-adds; memory: 4 (3 m n + max(m, n)^2) bytes.
double predicted_kl(const RowSource& w, const RowSource& q, const GuidedMoments& moments, ThreadPool& threads);

/// tr(N^T A N) / tr(A), A [n, n] of a moment, N [n, n]: of white noise's loss what is left when it becomes F N^T. 1
/// where A is 0. 2 n^3 flops; memory: 8 n^2 bytes.
double share_of_trace(const std::vector<float>& n, const SecondMoment& a, ThreadPool& threads);

}  // namespace bitloom
