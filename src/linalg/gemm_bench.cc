// linear() on the shapes of a 135M Llama, as GFLOP/s and as a share of this machine's sgemm rate.
#include <benchmark/benchmark.h>

#include <cstring>

#include "linalg/gemm.h"

namespace bitloom {
namespace {

class Zeros final : public RowSource {
 public:
  Zeros(int64_t rows, int64_t cols) : rows_(rows), cols_(cols) {}
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::memset(out, 0, static_cast<size_t>((end - begin) * cols_) * sizeof(float));
  }
  int64_t stored_bytes() const override { return 0; }
  std::string storage() const override { return "zeros"; }

 private:
  int64_t rows_, cols_;
};

void linear_rate(benchmark::State& state) {
  ThreadPool threads;
  const int64_t tokens = state.range(0), rows = state.range(1), cols = state.range(2);
  const Zeros w(rows, cols);
  std::vector<float> x(static_cast<size_t>(tokens * cols), 1.0f), y(static_cast<size_t>(tokens * rows));
  TileScratch scratch;
  const double roof = measure_sgemm_gflops(1024, 0.2, threads);
  for (auto _ : state) {
    linear(x.data(), cols, tokens, w, nullptr, y.data(), rows, scratch, threads);
    benchmark::DoNotOptimize(y.data());
  }
  const double flops = 2.0 * static_cast<double>(tokens * rows * cols) * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(flops * 1e-9 / roof, benchmark::Counter::kIsRate);
}
BENCHMARK(linear_rate)
    ->ArgNames({"tokens", "rows", "cols"})
    ->ArgsProduct({{1, 512, 2048}, {192, 576, 1536}, {576}})
    ->Args({2048, 576, 1536})
    ->UseRealTime();

}  // namespace
}  // namespace bitloom
