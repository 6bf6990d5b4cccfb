// The definition as plain loops.

#include "kernels/block_vector_dot/block_tile.h"

namespace bitloom {

void block_vector_dot_portable(const BlockVectorDotCall& call) { multiply_decoded_rows(call); }

}  // namespace bitloom
