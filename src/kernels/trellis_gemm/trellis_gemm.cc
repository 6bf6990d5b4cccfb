#include "kernels/trellis_gemm/trellis_gemm.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_TRELLIS_GEMM(function, isa) TrellisGemmKernel function;
#include "kernels/trellis_gemm/kernels.inc"
#undef BITLOOM_TRELLIS_GEMM

std::span<const TrellisGemmEntry> trellis_gemm_kernels() {
#define BITLOOM_TRELLIS_GEMM(function, isa) {#function, function, Isa::isa},
  static constexpr TrellisGemmEntry kEntries[] = {
#include "kernels/trellis_gemm/kernels.inc"
  };
#undef BITLOOM_TRELLIS_GEMM
  return kEntries;
}

const TrellisGemmEntry& find_trellis_gemm(Isa isa) { return first_kernel(trellis_gemm_kernels(), isa); }

}  // namespace bitloom
