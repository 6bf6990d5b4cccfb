#include "kernels/word_gemm/word_gemm.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_WORD_GEMM(function, isa) WordGemmKernel function;
#include "kernels/word_gemm/kernels.inc"
#undef BITLOOM_WORD_GEMM

std::span<const WordGemmEntry> word_gemm_kernels() {
#define BITLOOM_WORD_GEMM(function, isa) {#function, function, Isa::isa},
  static constexpr WordGemmEntry kEntries[] = {
#include "kernels/word_gemm/kernels.inc"
  };
#undef BITLOOM_WORD_GEMM
  return kEntries;
}

const WordGemmEntry& find_word_gemm(Isa isa) { return first_kernel(word_gemm_kernels(), isa); }

}  // namespace bitloom
