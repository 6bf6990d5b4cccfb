#include "kernels/block_vector_dot/block_vector_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_BLOCK_VECTOR_DOT(function, isa) BlockVectorDotKernel function;
#include "kernels/block_vector_dot/kernels.inc"
#undef BITLOOM_BLOCK_VECTOR_DOT

std::span<const BlockVectorDotEntry> block_vector_dot_kernels() {
#define BITLOOM_BLOCK_VECTOR_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr BlockVectorDotEntry kEntries[] = {
#include "kernels/block_vector_dot/kernels.inc"
  };
#undef BITLOOM_BLOCK_VECTOR_DOT
  return kEntries;
}

const BlockVectorDotEntry& find_block_vector_dot(Isa isa) { return first_kernel(block_vector_dot_kernels(), isa); }

int64_t block_vector_dot_scratch(const BlockVectorRows& w) {
  const BlockRuns runs(w);
  constexpr int64_t kDigits = 3, kNumbers = 64;  // a scale and sums, rounded up
  return kBlockVectorTokens * runs.count * (kDigits * runs.length + kNumbers);
}

}  // namespace bitloom
