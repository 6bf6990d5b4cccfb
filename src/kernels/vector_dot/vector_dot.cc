#include "kernels/vector_dot/vector_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_VECTOR_DOT(function, isa) VectorDotKernel function;
#include "kernels/vector_dot/kernels.inc"
#undef BITLOOM_VECTOR_DOT

std::span<const VectorDotEntry> vector_dot_kernels() {
#define BITLOOM_VECTOR_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr VectorDotEntry kEntries[] = {
#include "kernels/vector_dot/kernels.inc"
  };
#undef BITLOOM_VECTOR_DOT
  return kEntries;
}

const VectorDotEntry& find_vector_dot(Isa isa) { return first_kernel(vector_dot_kernels(), isa); }

int64_t vector_dot_scratch(const AdditiveRows& w) {
  return w.units() * w.entries() * static_cast<int64_t>(sizeof(float));  // no fewer than of bytes and their scales
}

}  // namespace bitloom
