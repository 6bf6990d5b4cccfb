#include "kernels/trellis_dot/trellis_dot.h"

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

const TrellisDotEntry& find_trellis_dot(Isa isa) {
  for (const TrellisDotEntry& entry : trellis_dot_kernels()) {
    if (entry.isa <= isa) return entry;
  }
  return trellis_dot_kernels().back();
}

}  // namespace bitloom
