#include "kernels/int_gemm/int_gemm.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_INT_GEMM(function, isa, bits, codes) IntGemmKernel function;
#include "kernels/int_gemm/kernels.inc"
#undef BITLOOM_INT_GEMM

std::span<const IntGemmEntry> int_gemm_kernels() {
#define BITLOOM_TEXT(function) #function
#define BITLOOM_INT_GEMM(function, isa, bits, codes) \
  {BITLOOM_TEXT(function), function, Isa::isa, bits, CodeKind::codes},
  static constexpr IntGemmEntry kEntries[] = {
#include "kernels/int_gemm/kernels.inc"
  };
#undef BITLOOM_INT_GEMM
#undef BITLOOM_TEXT
  return kEntries;
}

const IntGemmEntry* find_int_gemm(Isa isa, int bits, CodeKind codes, int64_t group, int64_t cols) {
  const int64_t multiple = codes == CodeKind::kMixed ? 64 : 16;
  if (group % multiple != 0 && group < cols) return nullptr;
  return find_kernel(int_gemm_kernels(), isa,
                     [&](const IntGemmEntry& entry) { return entry.bits == bits && entry.codes == codes; });
}

}  // namespace bitloom
