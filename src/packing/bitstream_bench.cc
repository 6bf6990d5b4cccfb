// Codes per second and bytes moved (codes + stream), beside a memcpy of as many codes.
#include "packing/bitstream.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

namespace bitloom {
namespace {

constexpr int64_t kCount = 1 << 16;  // both buffers fit in L2: this measures the work, not the memory

void report(benchmark::State& state, int64_t bytes_per_row) {
  state.SetItemsProcessed(state.iterations() * kCount);
  state.SetBytesProcessed(state.iterations() * bytes_per_row);
}

void memcpy_codes(benchmark::State& state) {
  std::vector<uint8_t> codes(kCount, 1), out(kCount);
  for (auto _ : state) {
    std::memcpy(out.data(), codes.data(), kCount);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, 2 * kCount);
}
BENCHMARK(memcpy_codes);

void pack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  std::vector<uint8_t> codes(kCount, 1);
  std::vector<std::byte> out(static_cast<size_t>(bitstream_bytes(bits, kCount)));
  for (auto _ : state) {
    pack_bits(codes.data(), kCount, bits, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, kCount + bitstream_bytes(bits, kCount));
}
BENCHMARK(pack)->DenseRange(1, 8);

void unpack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  std::vector<uint8_t> codes(kCount);
  std::vector<std::byte> row(static_cast<size_t>(bitstream_bytes(bits, kCount)), std::byte{0x5A});
  for (auto _ : state) {
    unpack_bits(row.data(), 0, kCount, bits, codes.data());
    benchmark::DoNotOptimize(codes.data());
    benchmark::ClobberMemory();
  }
  report(state, kCount + bitstream_bytes(bits, kCount));
}
BENCHMARK(unpack)->DenseRange(1, 8);

}  // namespace
}  // namespace bitloom
