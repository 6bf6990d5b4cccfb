#include "kernels/trellis_dot/loops.h"

namespace bitloom {

void trellis_dot_portable(const TrellisDotCall& call) { loops::trellis_dot(call); }

}  // namespace bitloom
