// Every kernel of the list: bytes of codes and scales per second, and products.

#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/test_matrix.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 65536, kCols = 4096, kGroup = 128;

/// Of ggml's blocks: any bytes, in blocks that a row is as wide as.
void read_blocks(IntDotCall& call, CodeKind codes, std::vector<std::byte>& bytes) {
  for (const BlockKind& kind : kBlockKinds) {
    if (kind.codes != codes) continue;
    call.w.row_bytes = kCols / kind.columns * kind.bytes, call.w.scale_row_bytes = 0;
    bytes.assign(static_cast<size_t>(kRows * call.w.row_bytes), std::byte{0x35});
    call.w.codes = bytes.data();
  }
}

int64_t group_of(CodeKind codes) {
  for (const BlockKind& kind : kBlockKinds) {
    if (kind.codes == codes) return kind.group;
  }
  return kGroup;
}

void int_dot(benchmark::State& state, const IntDotEntry& entry, int64_t tokens) {
  const bool mixed = entry.codes == CodeKind::kMixed;
  testing::RandomDot dot({.rows = kRows,
                          .cols = kCols,
                          .tokens = tokens,
                          .group = entry.codes == CodeKind::kSign ? kCols : group_of(entry.codes),
                          .zeros = mixed,
                          .real_zeros = mixed},
                         entry, 1);
  std::vector<std::byte> blocks;
  read_blocks(dot.call, entry.codes, blocks);
  const int64_t bytes =
      kRows * (dot.call.w.row_bytes + dot.call.w.scale_row_bytes + (mixed ? dot.call.w.zero_row_bytes : 0));
  const double seconds = measure_kernel(state, bytes, [&] { entry.kernel(dot.call); });
  state.counters["GFLOP/s"] = 2e-9 * static_cast<double>(kRows * kCols * tokens) / seconds;
}

const bool registered = [] {
  for (const IntDotEntry& entry : int_dot_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t tokens : {1, 8}) {
      register_kernel(std::string(entry.name) + "/tokens:" + std::to_string(tokens),
                      [&entry, tokens](benchmark::State& state) { int_dot(state, entry, tokens); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
