// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mfma -mf16c.

#include <array>

#include "kernels/int_dot/x86_avx512.h"

namespace bitloom {

#define BITLOOM_WIDTH(bits)                                                                                       \
  void int_dot_i##bits##_i24_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<bits>, 3>(call); } \
  void int_dot_i##bits##_i8_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, BitCodes<bits>, 1>(call); }
BITLOOM_WIDTH(5)
BITLOOM_WIDTH(6)
BITLOOM_WIDTH(7)
#undef BITLOOM_WIDTH

void int_dot_i3_i24_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, SixteenTriples, 3>(call); }
void int_dot_i3_i8_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, SixteenTriples, 1>(call); }

void int_dot_t4_i24_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, NibbleTable, 3>(call); }
void int_dot_t4_i8_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, NibbleTable, 1>(call); }

void int_dot_mixed_i24_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, MixedCodes, 3>(call); }
void int_dot_mixed_i8_avx512vbmi(const IntDotCall& call) { run_int_dot<Avx512, MixedCodes, 1>(call); }

}  // namespace bitloom
