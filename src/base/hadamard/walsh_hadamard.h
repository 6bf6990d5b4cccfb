#pragma once
// The fast Walsh-Hadamard transform, by Sylvester's matrices: H_1 = [1], H_2n = [[H_n, H_n], [H_n, -H_n]].

#include <cstdint>
#include <span>

namespace bitloom {

/// x [order, width] row-major, order a power of two: x <- H x, not normalised (H H = order I). log2(order) order width
/// additions, in an order that depends on nothing else, so all processors compute the same bits.
void walsh_hadamard(double* x, int64_t order, int64_t width);
void walsh_hadamard(float* x, int64_t order, int64_t width);

/// A form of the transform of one vector, x [order], order at least 64: by vectors of so many numbers, which differ by
/// instruction set.
struct VectorHadamard {
  int lanes;
  void (*apply)(float* x, int64_t order);
};
/// Those that this machine can run, ascending; walsh_hadamard() takes the last where width is 1.
std::span<const VectorHadamard> vector_hadamards();

}  // namespace bitloom
