#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <cassert>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

/// oneDNN must not start threads of its own: our loops are already parallel, and its split would change results.
void pin_to_calling_thread() {
  thread_local const bool pinned = [] {
    omp_set_num_threads(1);
    return true;
  }();
  (void)pinned;
}

}  // namespace

void sgemm(Transpose trans_a, Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
           int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  pin_to_calling_thread();
  const char letter_a = trans_a == Transpose::kYes ? 'T' : 'N', letter_b = trans_b == Transpose::kYes ? 'T' : 'N';
  [[maybe_unused]] const dnnl_status_t status =
      dnnl_sgemm(letter_a, letter_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  assert(status == dnnl_success);
}

}  // namespace bitloom
