#pragma once
// A dense product in plain C++, for programs that are built without oneDNN (sgemm_own.cc).

#include <cstdint>

#include "linalg/gemm.h"

namespace bitloom {

/// sgemm()'s contract. Blocked as Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
/// panels of B and A are packed into caches, a tile of C is summed in registers.
void blocked_sgemm(Transpose trans_a, Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);

}  // namespace bitloom
