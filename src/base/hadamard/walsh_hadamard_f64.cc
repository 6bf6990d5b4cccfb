#include "base/hadamard/walsh_hadamard.h"
#include "base/hadamard/walsh_hadamard_loops.h"
#include "base/simd/vector_clones.h"

namespace bitloom {

BITLOOM_VECTOR_CLONES void walsh_hadamard(double* x, int64_t order, int64_t width) { transform(x, order, width); }

}  // namespace bitloom
