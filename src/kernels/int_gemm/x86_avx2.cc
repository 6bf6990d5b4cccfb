// Compiled with -mavx2 -mfma -mf16c on x86.

#include "kernels/int_gemm/x86_avx2.h"

namespace bitloom {

#define BITLOOM_FORM(name) name##_v256
#include "kernels/int_gemm/v256_kernels.inc"
#undef BITLOOM_FORM

}  // namespace bitloom
