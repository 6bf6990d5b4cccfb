// Every kernel of the list: bytes of keys and values per second. The heads of an 1.1B-parameter model: four key heads,
// each with eight query heads, and those of SmolLM2-135M: three and three.

#include "kernels/cached_attention/test_cache.h"
#include "kernels/kernel_bench.h"

namespace bitloom {
namespace {

void cached_attention(benchmark::State& state, const CachedAttentionEntry& entry, int64_t kv_heads, int64_t group) {
  constexpr int64_t kBytes = int64_t{64} << 20, kDim = 64, kTogether = 64;  // keys that all heads read in turn
  const int64_t row = kv_heads * kv_head_bytes(entry.format, kDim), keys = kBytes / row / kTogether * kTogether;
  RandomCache cache(entry.format, kTogether, group, kDim, kDim, 1, kv_heads);
  std::vector<std::byte> k, v;
  for (int64_t j = 0; j < keys; j += kTogether) {
    k.insert(k.end(), cache.k.begin(), cache.k.end());
    v.insert(v.end(), cache.v.begin(), cache.v.end());
  }
  measure_kernel(state, static_cast<int64_t>(k.size() + v.size()), [&] {
    cache.start();
    CachedAttentionCall call = cache.call;
    for (int64_t j = 0; j < keys; j += kTogether) {
      for (int64_t head = 0; head < kv_heads; ++head) {
        call.k = k.data() + j * row + head * row / kv_heads, call.v = v.data() + j * row + head * row / kv_heads;
        const int64_t share = j + kTogether < keys ? kTogether * row / kv_heads : 0;
        call.next_k = {k.data() + (j + kTogether) * row + head * share, share};
        call.next_v = {v.data() + (j + kTogether) * row + head * share, share};
        entry.kernel(call);
      }
    }
  });
}

const bool registered = [] {
  for (const CachedAttentionEntry& entry : cached_attention_kernels()) {
    if (!machine_has(entry.isa)) continue;
    const std::string name = entry.name;
    register_kernel(name + ":4x8", [&entry](benchmark::State& state) { cached_attention(state, entry, 4, 8); });
    register_kernel(name + ":3x3", [&entry](benchmark::State& state) { cached_attention(state, entry, 3, 3); });
  }
  return true;
}();

}  // namespace
}  // namespace bitloom
