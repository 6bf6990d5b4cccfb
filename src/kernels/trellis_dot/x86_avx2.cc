#include "kernels/trellis_dot/loops.h"

namespace bitloom {

void trellis_dot_avx2(const TrellisDotCall& call) { loops::trellis_dot(call); }

}  // namespace bitloom
