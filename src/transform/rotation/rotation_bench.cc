// Weights per second of decoding rotated matrices on one thread, for widths with small and large Hadamard cores.
#include <benchmark/benchmark.h>

#include "base/memory/dense_matrix.h"
#include "transform/rotation/rotated_rows.h"

namespace bitloom {
namespace {

constexpr int64_t kOther = 64;

RotationPtr rotation_of(const benchmark::State& state) {
  return std::make_shared<const RandomRotation>(state.range(0), 1, 1);
}

void columns(benchmark::State& state) {
  const int64_t n = state.range(0);
  const RowSourcePtr source = dense_matrix(kOther, n, std::vector<float>(static_cast<size_t>(kOther * n), 0.5f));
  const RowSourcePtr rotated = rotated_columns(source, {}, rotation_of(state));
  std::vector<float> out(static_cast<size_t>(kOther * n));
  for (auto _ : state) {
    rotated->decode_rows(0, kOther, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * kOther * n);
}

void rows(benchmark::State& state) {
  const int64_t n = state.range(0);
  const RowSourcePtr source = dense_matrix(n, kOther, std::vector<float>(static_cast<size_t>(kOther * n), 0.5f));
  const RowSourcePtr rotated = rotated_rows(source, rotation_of(state), std::make_shared<MatrixCache>(kOther * n * 4));
  std::vector<float> out(static_cast<size_t>(kOther * n));
  for (auto _ : state) {
    rotated->release();
    rotated->decode_rows(0, n, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * kOther * n);
}

BENCHMARK(columns)->Arg(576)->Arg(2880)->Arg(4096)->Arg(5120)->Arg(8192);
BENCHMARK(rows)->Arg(576)->Arg(2880)->Arg(4096)->Arg(5120)->Arg(8192);

}  // namespace
}  // namespace bitloom
