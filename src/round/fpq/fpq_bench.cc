// What LLM-FP4's search costs on one layer of 4096 x 4096 and 2048 tokens: "products" of that size that one round takes
// as long as (weights, then the input) by the clock, "by_processor" by the processor's time, which other work on the
// machine leaves alone, about; and the share of the outputs' squares that is left as error.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/clock.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "linalg/gemm.h"
#include "round/fpq/format_search.h"

namespace bitloom {
namespace {

/// Normal values; one column in 64 is `outlier` times as large.
std::vector<float> normals(int64_t rows, int64_t cols, uint64_t seed, float outlier) {
  Rng rng(seed, 1);
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(rng.normal()) * (static_cast<int64_t>(i) % cols % 64 == 5 ? outlier : 1.0f);
  }
  return values;
}

void format_search(benchmark::State& state, const FormatSearch& search) {
  ThreadPool threads;
  const int64_t size = state.range(0), tokens = size / 2;
  const std::vector<float> x = normals(tokens, size, 1, 20);
  const DenseMatrix w(size, size, normals(size, size, 2, 1 / 20.0f));
  std::vector<float> absmax(static_cast<size_t>(size)), squares(absmax), y(static_cast<size_t>(tokens * size));
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % static_cast<size_t>(size);
    absmax[c] = std::max(absmax[c], std::abs(x[i]));
    squares[c] += x[i] * x[i] / static_cast<float>(tokens);
  }
  const std::vector<float> weights = w.decode_all();
  double product = INFINITY, product_processor = INFINITY, norm = 0;
  for (int i = 0; i < 3; ++i) {
    const Stopwatch watch;
    const double start = processor_seconds();
    linear_dense(x.data(), size, tokens, weights.data(), size, size, nullptr, y.data(), size, threads);
    product_processor = std::min(product_processor, processor_seconds() - start);
    product = std::min(product, watch.seconds());
  }
  for (const float value : y) norm += double{value} * double{value};
  const std::vector<SearchedMatrix> readers{{&w, parse_grid_target("e2m1-row"), {}}};
  double seconds = 0, processor = 0, error = 0;
  for (auto _ : state) {
    const Stopwatch watch;
    const double start = processor_seconds();
    error = choose_input(parse_activation_format("e2m1-tensor-joint-shift"), readers, {tokens, size, x.data()}, absmax,
                         squares, search, threads)
                ->error;
    processor += processor_seconds() - start;
    seconds += watch.seconds();
  }
  const auto rounds = static_cast<double>(state.iterations() * search.rounds);
  state.counters["products"] = seconds / rounds / product;
  state.counters["by_processor"] = processor / rounds / product_processor;
  state.counters["product_s"] = product;
  state.counters["error"] = error / norm;
}

constexpr FormatSearch one_round(ClipGrid grid, bool full) { return {.grid = grid, .full = full, .rounds = 1}; }

BENCHMARK_CAPTURE(format_search, shortlist, one_round(ClipGrid::kClip, false))
    ->Arg(1024)
    ->Arg(4096)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(format_search, shortlist_bias, one_round(ClipGrid::kBias, false))
    ->Arg(1024)
    ->Arg(4096)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(format_search, full, one_round(ClipGrid::kClip, true))
    ->Arg(1024)
    ->Arg(4096)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(format_search, full_bias, one_round(ClipGrid::kBias, true))  // the paper's
    ->Arg(1024)
    ->Arg(4096)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);

}  // namespace
}  // namespace bitloom
