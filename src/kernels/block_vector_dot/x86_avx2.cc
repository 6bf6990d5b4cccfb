// The portable loops with wider vectors for the products: look-ups are loads.

#include "kernels/block_vector_dot/block_tile.h"

namespace bitloom {

void block_vector_dot_v256(const BlockVectorDotCall& call) { multiply_decoded_rows(call); }

}  // namespace bitloom
