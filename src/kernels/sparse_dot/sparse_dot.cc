#include "kernels/sparse_dot/sparse_dot.h"

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

const SparseDotEntry& find_sparse_dot(Isa isa) {
  for (const SparseDotEntry& entry : sparse_dot_kernels()) {
    if (entry.isa <= isa) return entry;
  }
  return sparse_dot_kernels().back();
}

}  // namespace bitloom
