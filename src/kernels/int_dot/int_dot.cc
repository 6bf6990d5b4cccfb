#include "kernels/int_dot/int_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_INT_DOT(function, isa, bits, codes, input, order, multiple) IntDotKernel function;
#include "kernels/int_dot/kernels.inc"
#undef BITLOOM_INT_DOT

std::span<const IntDotEntry> int_dot_kernels() {
#define BITLOOM_TEXT(function) #function
#define BITLOOM_INT_DOT(function, isa, bits, codes, input, order, multiple) \
  {BITLOOM_TEXT(function), function, Isa::isa, bits, CodeKind::codes, DotInput::input, InputOrder::order, multiple},
  static constexpr IntDotEntry kEntries[] = {
#include "kernels/int_dot/kernels.inc"
  };
#undef BITLOOM_INT_DOT
#undef BITLOOM_TEXT
  return kEntries;
}

const IntDotEntry* find_int_dot(Isa isa, const IntDotNeeds& needs) {
  return find_kernel(int_dot_kernels(), isa, [&](const IntDotEntry& entry) {
    return entry.bits == needs.bits && entry.codes == needs.codes && serves(entry, needs.group, needs.cols) &&
           (entry.input != DotInput::kInt8) == needs.exact;
  });
}

}  // namespace bitloom
