// The definition as plain loops.

#include "kernels/vector_dot/vector_products.h"

namespace bitloom {

void vector_dot_portable(const VectorDotCall& call) {
  if (call.w.bits == 4) {
    look_up_floats<16>(call);
  } else {
    look_up_floats<256>(call);
  }
}

}  // namespace bitloom
