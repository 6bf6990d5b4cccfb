// 8 entries of a row at a time, the last few by copies that are zero beyond them.

#include "kernels/sparse_dot/sparse_rows.h"
#include "kernels/x86_intrinsics.h"
#include "kernels/x86_sum.h"

namespace bitloom {

void sparse_dot_v256(const SparseDotCall& call) {
  const SparseRows& w = call.w;
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * call.x_stride;
    for (int64_t r = call.first; r < call.last; ++r) {
      __m256 sum = _mm256_setzero_ps();
      const int64_t end = sparse_start(w, r + 1);
      for (int64_t e = sparse_start(w, r); e < end; e += 8) {
        const std::byte *columns = w.columns + 2 * e, *values = w.values + 2 * e;
        alignas(16) std::byte few[2][16] = {};
        if (end - e < 8) {
          std::memcpy(few[0], columns, static_cast<size_t>(2 * (end - e)));
          std::memcpy(few[1], values, static_cast<size_t>(2 * (end - e)));
          columns = few[0], values = few[1];
        }
        const __m256i at = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(columns)));
        const __m256 halves = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
        // Lanes beyond the last would read x[0], which may be infinite, times zero.
        const __m256i left = _mm256_set1_epi32(static_cast<int32_t>(end - e < 8 ? end - e : 8));
        const __m256 lanes = _mm256_castsi256_ps(_mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
        sum = _mm256_fmadd_ps(halves, _mm256_mask_i32gather_ps(_mm256_setzero_ps(), x, at, lanes, 4), sum);
      }
      call.y[t * call.y_stride + r] += sum8(sum);
    }
  }
}

}  // namespace bitloom
