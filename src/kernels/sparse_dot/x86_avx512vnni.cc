// 16 entries of a row at a time; masked beyond the last.

#include <immintrin.h>

#include <algorithm>

#include "kernels/sparse_dot/sparse_rows.h"

namespace bitloom {

void sparse_dot_avx512vnni(const SparseDotCall& call) {
  const SparseRows& w = call.w;
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * call.x_stride;
    int64_t end = sparse_start(w, call.first);
    for (int64_t r = call.first; r < call.last; ++r) {
      int64_t e = end;
      end = sparse_start(w, r + 1);
      if (e == end) continue;
      __m512 sum = _mm512_setzero_ps();
      for (; e < end; e += 16) {
        const auto lanes = static_cast<__mmask16>((1u << std::min<int64_t>(16, end - e)) - 1);
        const __m512i at = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, w.columns + 2 * e));
        const __m512 values = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, w.values + 2 * e));
        sum = _mm512_fmadd_ps(values, _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, at, x, 4), sum);
      }
      call.y[t * call.y_stride + r] += _mm512_reduce_add_ps(sum);
    }
  }
}

}  // namespace bitloom
