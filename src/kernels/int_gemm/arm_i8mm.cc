// Compiled with -march=armv8.2-a+dotprod+i8mm.

#include "kernels/int_gemm/x86_avx2.h"

namespace bitloom {

#define BITLOOM_FORM(name) name##_neoni8mm
#include "kernels/int_gemm/v256_kernels.inc"
#undef BITLOOM_FORM

}  // namespace bitloom
