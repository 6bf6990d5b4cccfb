#include "kernels/dense_dot/dense_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_DENSE_DOT(function, isa, dtype) DenseDotKernel function;
#include "kernels/dense_dot/kernels.inc"
#undef BITLOOM_DENSE_DOT

std::span<const DenseDotEntry> dense_dot_kernels() {
#define BITLOOM_DENSE_DOT(function, isa, dtype) {#function, function, Isa::isa, DType::dtype},
  static constexpr DenseDotEntry kEntries[] = {
#include "kernels/dense_dot/kernels.inc"
  };
#undef BITLOOM_DENSE_DOT
  return kEntries;
}

const DenseDotEntry* find_dense_dot(Isa isa, DType dtype) {
  return find_kernel(dense_dot_kernels(), isa, [&](const DenseDotEntry& entry) { return entry.dtype == dtype; });
}

}  // namespace bitloom
