#include "kernels/trellis_dot/x86_avx512_loops.h"

namespace bitloom {

void trellis_dot_avx512vnni(const TrellisDotCall& call) { trellis_dot_avx512(call); }

}  // namespace bitloom
