// The definition as plain loops.

#include "base/memory/dtype.h"
#include "kernels/sparse_dot/sparse_rows.h"

namespace bitloom {

void sparse_dot_portable(const SparseDotCall& call) {
  const SparseRows& w = call.w;
  for (int64_t r = call.first; r < call.last; ++r) {
    for (int64_t t = 0; t < call.tokens; ++t) {
      float sum = 0;
      for (int64_t e = sparse_start(w, r); e < sparse_start(w, r + 1); ++e) {
        sum += f16_to_f32(sparse_u16(w.values, e)) * call.x[t * call.x_stride + sparse_u16(w.columns, e)];
      }
      call.y[t * call.y_stride + r] += sum;
    }
  }
}

}  // namespace bitloom
