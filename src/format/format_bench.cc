// Weights per second of encoding and decoding, and bytes moved, beside a memcpy of as many fp32 weights.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>

#include "format/stored_matrix.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 16, kCols = 4096;

std::vector<float> weights() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> w(kRows * kCols);
  for (float& x : w) x = normal(random);
  return w;
}

void report(benchmark::State& state, int64_t bytes) {
  state.SetItemsProcessed(state.iterations() * kRows * kCols);
  state.SetBytesProcessed(state.iterations() * bytes);
}

void copy(benchmark::State& state) {
  const std::vector<float> w = weights();
  std::vector<float> out(w.size());
  for (auto _ : state) {
    std::memcpy(out.data(), w.data(), w.size() * sizeof(float));
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, 2 * kRows * kCols * 4);
}
BENCHMARK(copy)->Name("memcpy");

void encode(benchmark::State& state, const std::string& name, Ties ties) {
  const std::vector<float> w = weights();
  std::vector<uint8_t> codes(w.size());
  const auto encoder = make_encoder(*find_format(name), ties);
  for (auto _ : state) {
    encoder->encode(w.data(), kRows * kCols, codes.data());
    benchmark::DoNotOptimize(codes.data());
    benchmark::ClobberMemory();
  }
  report(state, kRows * kCols * 5);
}
BENCHMARK_CAPTURE(encode, int4, "int4", Ties::kEven);
BENCHMARK_CAPTURE(encode, int8, "int8", Ties::kEven);
BENCHMARK_CAPTURE(encode, e2m1, "e2m1", Ties::kEven);
BENCHMARK_CAPTURE(encode, e4m3fn, "e4m3fn", Ties::kEven);
BENCHMARK_CAPTURE(encode, nf4, "nf4", Ties::kEven);
BENCHMARK_CAPTURE(encode, e2m1_away, "e2m1", Ties::kAway);
BENCHMARK_CAPTURE(encode, int8_away, "int8", Ties::kAway);

void decode(benchmark::State& state, const std::string& text) {
  const Storage storage = parse_storage(text);
  std::vector<TensorPart> parts = greatest_parts(storage, kRows, kCols);
  std::vector<std::vector<std::byte>> bytes;
  for (TensorPart& part : parts) {
    int64_t count = 1;
    for (const int64_t n : part.shape) count *= n;
    bytes.emplace_back(static_cast<size_t>(bytes_of(part.dtype, count)), std::byte{0x31});
    part.bytes = bytes.back();
  }
  const auto tensor = StoredMatrix::from_parts("w", storage, kRows, kCols, parts, nullptr);
  std::vector<float> out(kRows * kCols);
  for (auto _ : state) {
    tensor->decode_rows(0, kRows, out.data());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, tensor->stored_bytes() + kRows * kCols * 4);
}
BENCHMARK_CAPTURE(decode, int4_g128, "int4-g128");
BENCHMARK_CAPTURE(decode, int4_g32_asym, "int4-g32-asym");
BENCHMARK_CAPTURE(decode, int3_g64, "int3-g64");
BENCHMARK_CAPTURE(decode, int8_row, "int8-row");
BENCHMARK_CAPTURE(decode, mxfp4, "mxfp4");
BENCHMARK_CAPTURE(decode, nvfp4, "nvfp4");
BENCHMARK_CAPTURE(decode, nf4_g64, "nf4-g64");
BENCHMARK_CAPTURE(decode, mxfp6e3m2, "mxfp6e3m2");
BENCHMARK_CAPTURE(decode, mxfp8e4m3, "mxfp8e4m3");
BENCHMARK_CAPTURE(decode, trellis2, "trellis2");
BENCHMARK_CAPTURE(decode, trellis3, "trellis3");

}  // namespace
}  // namespace bitloom
