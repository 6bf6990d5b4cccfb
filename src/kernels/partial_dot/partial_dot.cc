#include "kernels/partial_dot/partial_dot.h"

#include "base/memory/dtype.h"
#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_PARTIAL_DOT(function, isa) PartialDotKernel function;
#include "kernels/partial_dot/kernels.inc"
#undef BITLOOM_PARTIAL_DOT

std::span<const PartialDotEntry> partial_dot_kernels() {
#define BITLOOM_PARTIAL_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr PartialDotEntry kEntries[] = {
#include "kernels/partial_dot/kernels.inc"
  };
#undef BITLOOM_PARTIAL_DOT
  return kEntries;
}

const PartialDotEntry& find_partial_dot(Isa isa) { return first_kernel(partial_dot_kernels(), isa); }

float partial_product(const std::byte* scales, float all, float masked, float plus, float coded) {
  float s[4];
  decode_to_f32(DType::kF16, scales, 0, 4, s);
  const float others = all - masked;
  return (s[0] * others + s[1] * (2 * plus - others)) + (s[2] * masked + s[3] * coded);
}

}  // namespace bitloom
