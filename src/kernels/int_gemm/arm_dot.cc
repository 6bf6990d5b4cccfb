// Compiled with -march=armv8.2-a+dotprod.

#include "kernels/int_gemm/x86_avx2.h"

namespace bitloom {

#define BITLOOM_FORM(name) name##_neondot
#include "kernels/int_gemm/v256_kernels.inc"
#undef BITLOOM_FORM

}  // namespace bitloom
