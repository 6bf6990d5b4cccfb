// Compiled with -march=armv8.2-a+dotprod: the kernels of 256-bit vectors, whose products of bytes are one step.

#include "kernels/arm_dot.h"
#include "kernels/int_dot/x86_avx2.h"

namespace bitloom {
namespace {

struct NeonDot : Avx2 {
  /// Bytes that pass 127 are lowered to signed ones, by 128, and the sum of the others is added as often.
  template <bool kWide>
  static Int dot(Int a, Bytes u, Bytes s) {
    if constexpr (!kWide) return signed_dot(a, u, s);
    const Int sums = signed_dot(zero_int(), _mm256_set1_epi8(1), s);
    return signed_dot(add(a, _mm256_slli_epi32(sums, 7)), _mm256_xor_si256(u, _mm256_set1_epi8(-128)), s);
  }
};

}  // namespace

using V = NeonDot;
#define BITLOOM_FORM(name) name##_neondot
#include "kernels/int_dot/v256_kernels.inc"
#undef BITLOOM_FORM

}  // namespace bitloom
