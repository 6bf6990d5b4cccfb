// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include <array>

#include "kernels/int_dot/x86_avx512.h"
#include "kernels/int_dot/x86_avx512_blocks.h"

namespace bitloom {
void int_dot_i4_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, Nibbles, 3>(call); }
void int_dot_i4_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, Nibbles, 1>(call); }
void int_dot_t4_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, NibbleTable, 3>(call); }
void int_dot_t4_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, NibbleTable, 1>(call); }
void int_dot_i8_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<8>, 3>(call); }
void int_dot_i8_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<8>, 1>(call); }

void int_dot_strided2_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, StridedPairs, 3>(call); }
void int_dot_strided2_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, StridedPairs, 1>(call); }
void int_dot_sixteens3_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, SixteenTriples, 3>(call); }
void int_dot_sixteens3_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, SixteenTriples, 1>(call); }
void int_dot_sign_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, SignCodes, 3>(call); }
void int_dot_sign_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, SignCodes, 1>(call); }
void int_dot_mixed_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, MixedCodes, 3>(call); }
void int_dot_mixed_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, MixedCodes, 1>(call); }

#define BITLOOM_WIDTH(bits)                                                                                       \
  void int_dot_i##bits##_i24_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<bits>, 3>(call); } \
  void int_dot_i##bits##_i8_avx512vnni(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<bits>, 1>(call); }
BITLOOM_WIDTH(2)
BITLOOM_WIDTH(3)
BITLOOM_WIDTH(5)
BITLOOM_WIDTH(6)
BITLOOM_WIDTH(7)
#undef BITLOOM_WIDTH

#define BITLOOM_BLOCKS(name, kind)                               \
  void int_dot_##name##_i24_avx512vnni(const IntDotCall& call) { \
    run_int_dot<Avx512, BlockCodes<CodeKind::kind>, 3>(call);    \
  }                                                              \
  void int_dot_##name##_i8_avx512vnni(const IntDotCall& call) { BlockLoop<CodeKind::kind>(call).run(); }
#include "kernels/int_dot/blocks.inc"
#undef BITLOOM_BLOCKS

}  // namespace bitloom
