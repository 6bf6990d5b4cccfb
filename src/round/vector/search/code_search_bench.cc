// One sweep for a codebook of 65536 vectors over a matrix 4096 wide of heavy-tailed weights: what it takes to look at
// the nearest cells instead of all vectors, on so many rows, and what that misses. Rows are separable, so all vectors
// are looked at for the first 256 rows only, and their time counts as often as those fit into the rows.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/clock.h"
#include "round/test_matrix.h"
#include "round/vector/residual_kmeans.h"
#include "round/vector/search/code_search.h"

namespace bitloom {
namespace {

constexpr int64_t kWidth = 4096, kExhaustiveRows = 256;

struct Matrix {
  ThreadPool threads;
  LayerMoment moment{kWidth, std::vector<float>(kWidth* kWidth)};
  std::vector<float> w;
  AdditiveCode code;

  explicit Matrix(int64_t rows) : w(testing::heavy_tailed_matrix(rows, kWidth).values()) {
    const InputStatistics inputs = testing::correlated_inputs(
        kWidth, 1024, 0.5f, [](int64_t c) { return c % 100 == 0 ? 10.0f : 1.0f; }, threads);
    inputs.moment->copy_to(moment.h.data(), threads);
    double trace = 0;
    for (int64_t c = 0; c < kWidth; ++c) trace += static_cast<double>(moment.at(c, c));
    for (size_t c = 0; c < kWidth; ++c) moment.h[c * (kWidth + 1)] += static_cast<float>(0.01 * trace / kWidth);
    code = start_codes(parse_vector("aq1x16-g8"), rows, kWidth / 8, w, {.iterations = 2, .probes = 16}, threads);
  }
  AdditiveCode first(int64_t rows) const {
    AdditiveCode some = code;
    some.rows = rows;
    some.codes.resize(static_cast<size_t>(rows * some.groups)), some.scales.resize(static_cast<size_t>(rows));
    return some;
  }
  std::span<const float> weights(int64_t rows) const { return std::span(w).first(static_cast<size_t>(rows * kWidth)); }
  double loss(const AdditiveCode& of) {
    std::vector<float> error(static_cast<size_t>(of.rows * kWidth)), residual(error.size());
    return total(find_residual(of, moment, weights(of.rows), error, residual, threads));
  }
  /// Seconds; `of` is changed.
  double sweep(AdditiveCode& of, const CodeSearch& search) {
    std::vector<float> error(static_cast<size_t>(of.rows * kWidth)), residual(error.size());
    find_residual(of, moment, weights(of.rows), error, residual, threads);
    const Stopwatch watch;
    sweep_codes(of, moment, random_order(of, 0, 0), search, residual, threads);
    return watch.seconds();
  }
};

void sweep_in_cells(benchmark::State& state) {
  const int64_t rows = state.range(0), beam = state.range(1), probes = state.range(2);
  static std::unique_ptr<Matrix> matrix;
  if (matrix == nullptr || matrix->code.rows != rows) matrix = std::make_unique<Matrix>(rows);
  for (auto _ : state) {
    AdditiveCode all = matrix->first(kExhaustiveRows), cells = matrix->code;
    const double exhaustive = matrix->sweep(all, {.beam = beam}) * static_cast<double>(rows / kExhaustiveRows);
    const double in_cells = matrix->sweep(cells, {.beam = beam, .probes = probes});
    cells.rows = kExhaustiveRows;
    double same = 0;
    for (size_t i = 0; i < all.codes.size(); ++i) same += all.codes[i] == cells.codes[i] ? 1 : 0;
    state.SetIterationTime(in_cells);
    state.counters["of_exhaustive"] = in_cells / exhaustive;
    state.counters["loss_of_exhaustive"] = matrix->loss(cells) / matrix->loss(all);
    state.counters["same_codes"] = same / static_cast<double>(all.codes.size());
  }
}
BENCHMARK(sweep_in_cells)
    ->ArgNames({"rows", "beam", "cells"})
    ->Args({4096, 1, 16})
    ->Args({4096, 4, 16})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(1);

}  // namespace
}  // namespace bitloom
