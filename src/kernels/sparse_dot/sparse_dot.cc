#include "kernels/sparse_dot/sparse_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_SPARSE_DOT(function, isa) SparseDotKernel function;
#include "kernels/sparse_dot/kernels.inc"
#undef BITLOOM_SPARSE_DOT

std::span<const SparseDotEntry> sparse_dot_kernels() {
#define BITLOOM_SPARSE_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr SparseDotEntry kEntries[] = {
#include "kernels/sparse_dot/kernels.inc"
  };
#undef BITLOOM_SPARSE_DOT
  return kEntries;
}

const SparseDotEntry& find_sparse_dot(Isa isa) { return first_kernel(sparse_dot_kernels(), isa); }

}  // namespace bitloom
