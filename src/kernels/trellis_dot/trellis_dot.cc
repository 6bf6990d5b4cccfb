#include "kernels/trellis_dot/trellis_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_TRELLIS_DOT(function, isa) TrellisDotKernel function;
#include "kernels/trellis_dot/kernels.inc"
#undef BITLOOM_TRELLIS_DOT

std::span<const TrellisDotEntry> trellis_dot_kernels() {
#define BITLOOM_TRELLIS_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr TrellisDotEntry kEntries[] = {
#include "kernels/trellis_dot/kernels.inc"
  };
#undef BITLOOM_TRELLIS_DOT
  return kEntries;
}

const TrellisDotEntry& find_trellis_dot(Isa isa) { return first_kernel(trellis_dot_kernels(), isa); }

}  // namespace bitloom
