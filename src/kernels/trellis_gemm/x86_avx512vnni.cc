#include "kernels/trellis_gemm/x86_avx512_loops.h"

namespace bitloom {

void trellis_gemm_avx512vnni(const TrellisGemmCall& call) { trellis_gemm_avx512(call); }

}  // namespace bitloom
