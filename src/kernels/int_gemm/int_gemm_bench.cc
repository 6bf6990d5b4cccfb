// Every kernel of the list: products per second of one thread, 512 tokens and fewer, and their percentage of the
// thread's peak of 8-bit products, measured in turns with them; and the rounding of inputs.

#include <fmt/format.h>

#include <vector>

#include "hardware/dot_peak.h"
#include "kernels/int_dot/test_matrix.h"
#include "kernels/int_gemm/int_gemm.h"
#include "kernels/int_gemm/test_input.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 512, kCols = 2048, kPiece = 32;

void int_gemm(benchmark::State& state, const IntGemmEntry& entry, int64_t tokens, int64_t group) {
  const IntDotEntry as_it_is = {"",          nullptr,        Isa::kPortable,       entry.bits,
                                entry.codes, DotInput::kF32, InputOrder::kNatural, 1};
  int64_t row_bytes = 0;
  for (const BlockKind& kind : kBlockKinds) {
    if (kind.codes == entry.codes) group = kind.group, row_bytes = kCols / kind.columns * kind.bytes;
  }
  testing::RandomDot dot({.rows = kRows, .cols = kCols, .tokens = tokens, .group = group}, as_it_is, 1);
  const std::vector<std::byte> blocks(static_cast<size_t>(kRows * row_bytes), std::byte{0x35});
  if (row_bytes > 0) dot.call.w.codes = blocks.data(), dot.call.w.row_bytes = row_bytes;
  const testing::GemmBuffers input(dot.call.x, tokens, kCols, kPiece);
  std::vector<float> y(static_cast<size_t>(tokens * kRows));
  ThreadPool one(1);
  double least = 1e30, peak = 0;
  for (auto _ : state) {
    peak = std::max(peak, measure_dot_peak(one, thread_seconds).int8);
    const double begin = thread_seconds();
    for (int64_t r = 0; r < kRows; r += kPiece) {
      entry.kernel({dot.call.w, r, r + kPiece, tokens, input.view, input.scratch, y.data(), kRows});
    }
    least = std::min(least, thread_seconds() - begin);
    state.SetIterationTime(thread_seconds() - begin);
  }
  const double rate = 2 * static_cast<double>(kRows * kCols * tokens) / least;
  state.counters["GOP/s"] = 1e-9 * rate;
  if (peak > 0) state.counters["percent"] = 100 * rate / peak;
}

/// Inputs of 512 tokens.
void round_tokens(benchmark::State& state) {
  constexpr int64_t kTokens = 512;
  const std::vector<float> x(static_cast<size_t>(kTokens * kCols), 0.3f);
  const testing::GemmBuffers input(x.data(), kTokens, kCols, kPiece);
  double least = 1e30;
  for (auto _ : state) {
    const double begin = thread_seconds();
    for (int64_t b = 0; b * kTokenBlock < kTokens; ++b) round_token_block(x.data(), kTokens, kCols, b, input.view);
    least = std::min(least, thread_seconds() - begin);
    state.SetIterationTime(thread_seconds() - begin);
  }
  state.counters["ns/value"] = 1e9 * least / static_cast<double>(kTokens * kCols);
}

const bool registered = [] {
  register_kernel("round_tokens", round_tokens);
  for (const IntGemmEntry& entry : int_gemm_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const int64_t tokens : {8, 512}) {
      for (const int64_t group : {32, 128}) {
        if (group > 32 && !is_bitstream(entry.codes)) continue;  // blocks have groups of their own
        register_kernel(fmt::format("{}/tokens:{}/group:{}", entry.name, tokens, group),
                        [&entry, tokens, group](benchmark::State& state) { int_gemm(state, entry, tokens, group); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
