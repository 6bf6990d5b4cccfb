#pragma once
// |x|^p for clip search, fast enough to be evaluated 80 times per weight.

#include <cstdint>

namespace bitloom {

/// x[i] = |x[i]|^p for finite x, p in [0.5, 8]. p = 2 is exact to rounding; else 2^(p log2 |x|) with a relative error
/// below 1e-5, which ranks candidates but is no substitute for pow: magnitudes below 2^-126 (also 0) count as 2^-126,
/// and results are kept within 2^-120 .. 2^120. The same bits on every machine: no library function, no fused
/// operation.
void abs_power(float* x, int64_t n, double p);

}  // namespace bitloom
