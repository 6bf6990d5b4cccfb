// The portable loops with wider vectors for the products: look-ups in 256 entries would take 16 shuffles for 32 codes,
// and gathers are no faster than scalar loads.

#include "kernels/vector_dot/vector_products.h"

namespace bitloom {

void vector_dot_v256(const VectorDotCall& call) { look_up_floats(call); }

}  // namespace bitloom
