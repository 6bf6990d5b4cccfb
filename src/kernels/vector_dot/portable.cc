// The definition as plain loops.

#include "kernels/vector_dot/vector_products.h"

namespace bitloom {

void vector_dot_portable(const VectorDotCall& call) { look_up_floats(call); }

}  // namespace bitloom
