#include "kernels/bf16_gemm/bf16_gemm.h"

#include <unistd.h>

#include <algorithm>

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_BF16_GEMM(function, isa) Bf16GemmKernel function;
#include "kernels/bf16_gemm/kernels.inc"
#undef BITLOOM_BF16_GEMM

std::span<const Bf16GemmEntry> bf16_gemm_kernels() {
#if defined(__x86_64__)
#define BITLOOM_BF16_GEMM(function, isa) {#function, function, Isa::isa},
  static constexpr Bf16GemmEntry kEntries[] = {
#include "kernels/bf16_gemm/kernels.inc"
  };
#undef BITLOOM_BF16_GEMM
  return kEntries;
#else
  return {};
#endif
}

const Bf16GemmEntry* find_bf16_gemm(Isa isa) {
  return find_kernel(bf16_gemm_kernels(), isa, [](const Bf16GemmEntry&) { return true; });
}

/// Of the second cache a piece's panels have half; of the first one a block of tokens has three quarters, which every
/// panel reads again.
static int64_t most_cols() {
  const auto size = [](int name, int64_t otherwise) {
    const int64_t bytes = sysconf(name);
    return bytes > 0 ? bytes : otherwise;
  };
  const int64_t by_second = size(_SC_LEVEL2_CACHE_SIZE, 512 << 10) / 2 / (2 * kBf16PieceRows);
  const int64_t by_first = size(_SC_LEVEL1_DCACHE_SIZE, 32 << 10) * 3 / 4 / (2 * kBf16TokenBlock);
  return std::max(std::min(by_second, by_first) / kBf16PaddedCols, int64_t{16}) * kBf16PaddedCols;
}

int64_t bf16_gemm_cols(int64_t cols) {
  static const int64_t most = most_cols();
  const int64_t passes = (cols + most - 1) / most;
  return bf16_input_stride((cols + passes - 1) / passes);
}

}  // namespace bitloom
