#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {

#define BITLOOM_INT_GEMM(function, isa, bits, codes) IntGemmKernel function;
#include "kernels/int_gemm/kernels.inc"
#undef BITLOOM_INT_GEMM

std::span<const IntGemmEntry> int_gemm_kernels() {
#if defined(__x86_64__)
#define BITLOOM_INT_GEMM(function, isa, bits, codes) {#function, function, Isa::isa, bits, CodeKind::codes},
  static constexpr IntGemmEntry kEntries[] = {
#include "kernels/int_gemm/kernels.inc"
  };
#undef BITLOOM_INT_GEMM
  return kEntries;
#else
  return {};
#endif
}

const IntGemmEntry* find_int_gemm(Isa isa, int bits, CodeKind codes, int64_t group, int64_t cols) {
  if (group % 16 != 0 && group < cols) return nullptr;
  for (const IntGemmEntry& entry : int_gemm_kernels()) {
    if (entry.isa <= isa && entry.bits == bits && entry.codes == codes) return &entry;
  }
  return nullptr;
}

}  // namespace bitloom
