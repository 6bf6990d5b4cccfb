// Decoding speed per type, in weights and in bytes of fp32 written per second, of blocks that lie in the cache.

#include <benchmark/benchmark.h>

#include <vector>

#include "io/ggml/ggml_types.h"

namespace bitloom {
namespace {

void decode(benchmark::State& state, const GgmlType& type) {
  const int64_t blocks = 16384 / type.block_elements;
  std::vector<std::byte> data(static_cast<size_t>(blocks * type.block_bytes), std::byte{0x35});
  std::vector<float> out(static_cast<size_t>(blocks * type.block_elements));
  for (auto _ : state) {
    type.decode(data.data(), blocks, out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(out.size()));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(out.size() * sizeof(float)));
}

const int kRegistered = [] {
  for (const GgmlType& type : ggml_types()) {
    benchmark::RegisterBenchmark(std::string(type.name).c_str(),
                                 [&type](benchmark::State& state) { decode(state, type); });
  }
  return 0;
}();

}  // namespace
}  // namespace bitloom
