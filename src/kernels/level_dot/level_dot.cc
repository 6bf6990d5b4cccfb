#include "kernels/level_dot/level_dot.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_LEVEL_DOT(function, isa, multiple) LevelDotKernel function;
#include "kernels/level_dot/kernels.inc"
#undef BITLOOM_LEVEL_DOT

std::span<const LevelDotEntry> level_dot_kernels() {
#define BITLOOM_LEVEL_DOT(function, isa, multiple) {#function, function, Isa::isa, multiple},
  static constexpr LevelDotEntry kEntries[] = {
#include "kernels/level_dot/kernels.inc"
  };
#undef BITLOOM_LEVEL_DOT
  return kEntries;
}

const LevelDotEntry& find_level_dot(Isa isa, int64_t group, int64_t cols) {
  const LevelDotEntry* found = find_kernel(level_dot_kernels(), isa, [&](const LevelDotEntry& entry) {
    return group % entry.group_multiple == 0 || group >= cols;
  });
  return found != nullptr ? *found : level_dot_kernels().back();
}

}  // namespace bitloom
