// Every kernel of the list: products of 3 x 42 queries with 512 keys of 64 channels, and their percentage of the
// thread's peak of fp32 ones, measured in turns with them.

#include "hardware/dot_peak.h"
#include "kernels/kernel_bench.h"
#include "kernels/tile_attention/test_tile.h"

namespace bitloom {
namespace {

void tile_attention(benchmark::State& state, const TileAttentionEntry& entry, KvFormat format) {
  constexpr int64_t kHeads = 3, kPositions = 42, kKeys = 512, kDim = 64, kCalls = 32;
  RandomTile tile(format, kKeys, kHeads, kPositions, kDim, kDim);
  tile.tile.position = kKeys;  // all see all keys
  ThreadPool one(1);
  double least = 1e30, peak = 0;
  for (auto _ : state) {
    peak = std::max(peak, measure_dot_peak(one, thread_seconds).fp32);
    const double begin = thread_seconds();
    for (int64_t i = 0; i < kCalls; ++i) tile.start(), entry.kernel(tile.tile);
    least = std::min(least, thread_seconds() - begin);
    state.SetIterationTime(thread_seconds() - begin);
  }
  const double rate = 4.0 * kHeads * kPositions * kKeys * kDim * kCalls / least;
  state.counters["GFLOP/s"] = 1e-9 * rate;
  if (peak > 0) state.counters["percent"] = 100 * rate / peak;
}

const bool registered = [] {
  for (const TileAttentionEntry& entry : tile_attention_kernels()) {
    if (!machine_has(entry.isa)) continue;
    for (const KvFormat format : every_kv_format()) {
      register_kernel(std::string(entry.name) + ":" + std::string(name_of(format)),
                      [&entry, format](benchmark::State& state) { tile_attention(state, entry, format); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
