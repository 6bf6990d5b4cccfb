#pragma once
// Hadamard matrices: entries 1 and -1, H H^T = n I.
//
// Orders: 1, 2, and whatever doubling (Sylvester: H_2n = H_2 x H_n) reaches from these and from Paley's two
// constructions (1933), with Q[a][b] = chi(a - b) over the field of q elements, chi the quadratic character:
//   I:  order q + 1, q = 3 mod 4:        H = I + S, S = [[0, 1], [-1, Q]]
//   II: order 2 (q + 1), q = 1 mod 4:    C = [[0, 1], [1, Q]] with 0 -> [[1, -1], [-1, -1]], c -> c [[1, 1], [1, -1]]
// q any power of an odd prime. That covers every multiple of 4 below 92 and most others: 12, 20, 28, 36, 44, 60, 84,
// 180.

#include <cstdint>
#include <optional>
#include <vector>

namespace bitloom {

/// Row-major [order, order] by one of Paley's constructions, or [1] for order 1; nullopt where neither applies. Orders
/// up to kMaxPaleyOrder.
std::optional<std::vector<int8_t>> paley_hadamard(int64_t order);
inline constexpr int64_t kMaxPaleyOrder = 4096;

/// The smallest core with n = core * 2^k for which a matrix is known, the Hadamard matrix of order n being H_2^k x
/// core; nullopt when there is none.
std::optional<int64_t> hadamard_core(int64_t n);

/// chi over the field of q elements by their index (for q a prime, the element itself): 0 for 0, 1 for squares, -1 for
/// others; empty unless q is a power of an odd prime.
std::vector<int8_t> quadratic_character(int64_t q);

/// In place of a Hadamard matrix where none is known. Rows orthonormal to fp64's precision, uniformly distributed
/// (Haar): the Gram-Schmidt rows of a matrix of normal numbers. n^3 multiplications. Row-major [n, n].
std::vector<double> random_orthogonal(int64_t n, uint64_t seed, uint64_t stream);

}  // namespace bitloom
