#include "kernels/int_dot/int_dot.h"

namespace bitloom {

#define BITLOOM_INT_DOT(function, isa, bits, input, multiple) IntDotKernel function;
#include "kernels/int_dot/kernels.inc"
#undef BITLOOM_INT_DOT

std::span<const IntDotEntry> int_dot_kernels() {
#define BITLOOM_INT_DOT(function, isa, bits, input, multiple) \
  {#function, function, Isa::isa, bits, DotInput::input, multiple},
  static constexpr IntDotEntry kEntries[] = {
#include "kernels/int_dot/kernels.inc"
  };
#undef BITLOOM_INT_DOT
  return kEntries;
}

const IntDotEntry* find_int_dot(Isa isa, int bits, DotInput input, int64_t group, int64_t cols) {
  for (const IntDotEntry& entry : int_dot_kernels()) {
    if (entry.isa <= isa && entry.bits == bits && entry.input == input && serves(entry, group, cols)) return &entry;
  }
  return nullptr;
}

}  // namespace bitloom
