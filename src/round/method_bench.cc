// Methods of error feedback beside GPTQ: the time from a matrix and its inputs' second moment to stored codes, the
// factorization included, over that of gptq+int4-g128 on the same, and processor time likewise. Heavy-tailed weights
// (Student's t, 5 degrees).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "round/billm/billm.h"
#include "round/claq/claq.h"
#include "round/gptq/gptq.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"
#include "round/vector/aqlm.h"

namespace bitloom {
namespace {

InputStatistics inputs_of(int64_t cols, ThreadPool& threads) {
  constexpr int64_t kTokens = 1024;
  Rng rng(2, 5);
  std::vector<float> x(static_cast<size_t>(kTokens * cols));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng.normal()) + (i == 0 ? 0.0f : 0.5f * x[i - 1]);
  InputStatistics inputs(cols);
  inputs.add(x.data(), x.data(), kTokens, threads);
  return inputs;
}

struct Case {
  explicit Case(int64_t size) : w(testing::heavy_tailed_matrix(size, size)), inputs(inputs_of(size, threads)) {}
  double seconds(const Rounding& rounding, const char* target) {
    InputCache shared;
    Ranks ranks;
    const Stopwatch watch;
    benchmark::DoNotOptimize(
        rounding.row().round(rounding.options(), {"w", w, parse_target(target), &inputs, shared, ranks, threads}));
    return watch.seconds();
  }
  ThreadPool threads;
  DenseMatrix w;
  InputStatistics inputs;
};

template <typename Options>
void beside_gptq(benchmark::State& state, Options options, const char* target) {
  const Rounding rounding(std::move(options));
  static const auto shared = std::make_unique<Case>(4096);
  double least = 1e30, gptq = 1e30, least_cpu = 1e30, gptq_cpu = 1e30;
  const auto measure = [](double& seconds, double& cpu, const auto& round) {
    const std::clock_t begin = std::clock();
    const double took = round();
    seconds = std::min(seconds, took);
    cpu = std::min(cpu, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    return took;
  };
  for (auto _ : state) {
    measure(gptq, gptq_cpu, [] { return shared->seconds(GptqRounding{}, "int4-g128"); });
    state.SetIterationTime(measure(least, least_cpu, [&] { return shared->seconds(rounding, target); }));
  }
  state.counters["of_gptq"] = least / gptq;
  state.counters["cpu_of_gptq"] = least_cpu / gptq_cpu;  // of all threads, where others use the machine
}

constexpr ClaqRounding kClaqPaper{.parity = ClaqRounding::Parity::kPaper};
constexpr ClaqRounding kClaqUnrefined{.refine = 0};
constexpr BillmRounding kArb{.refine = 15};
BENCHMARK_CAPTURE(beside_gptq, gptq_mse, GptqRounding{}, "int2-g64-asym-mse")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, claq_2, ClaqRounding{}, "codebook2-col")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, claq_2_unrefined, kClaqUnrefined, "codebook2-col")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, claq_2_paper, kClaqPaper, "codebook2-col")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, claq_4, ClaqRounding{}, "codebook4-col")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, billm, BillmRounding{}, "planes-g128-fp8")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, billm_arb, kArb, "planes-g128-fp8")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);
BENCHMARK_CAPTURE(beside_gptq, aqlm_2x8, AqlmRounding{}, "aq2x8-g8")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(1);

}  // namespace
}  // namespace bitloom
