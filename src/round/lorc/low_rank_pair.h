#pragma once
// Two thin matrices whose product stands beside codes (format/side/low_rank.h): what methods that choose both share.

#include <cstdint>
#include <memory>
#include <vector>

#include "round/problem.h"

namespace bitloom {

/// A^T [rank, rows] and B [rank, cols], rows of which belong together.
struct LowRankPair {
  std::vector<float> a, b;
};

/// Of all products of this rank the A B of least <E - A B, (E - A B) H>, row k of A^T and of B of one length: U the
/// leading left singular vectors of E H^1/2,
///
///   A = U sqrt(S),   B = sqrt(S)^-1 U^T E
///
/// e: E [rows, cols]; h: H [cols, cols], or null for 1. Cost and determinism as leading_vectors().
LowRankPair best_pair(const std::vector<float>& e, int64_t rows, int64_t cols, const float* h, int64_t rank,
                      ThreadPool& threads);

/// w [rows, cols] -= A B.
void subtract_product(const LowRankPair& pair, int64_t rows, int64_t cols, std::vector<float>& w, ThreadPool& threads);

/// The base with this pair beside it, each factor rounded to nearest in the target's storage for it.
std::shared_ptr<const StoredMatrix> with_pair(const RoundingProblem& problem, const StoredMatrix& base,
                                              const LowRankPair& pair);

/// The storage of the codes alone.
Storage without_pair(Storage storage);

/// The report's errors of weights: w are the matrix's [rows, cols].
void count_errors(const std::vector<float>& w, const StoredMatrix& matrix, RoundReport& report);

}  // namespace bitloom
