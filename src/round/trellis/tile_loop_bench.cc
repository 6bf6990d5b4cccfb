// What feedback between tiles costs beside the search of every tile: two-sided, of a square matrix on one thread, the
// factors of both moments included.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "round/trellis/block_ldl.h"
#include "round/trellis/tile_loop.h"
#include "round/trellis/viterbi.h"

namespace bitloom {
namespace {

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds of a tile's full search.
double search_seconds(const TrellisCode& code) {
  Rng rng(3, 5);
  std::vector<float> x(kTrellisTile);
  for (float& value : x) value = static_cast<float>(code.units() * rng.normal());
  std::vector<uint16_t> words(static_cast<size_t>(code.words()));
  TrellisEncoder encoder(code, find_trellis_search(best_isa()));
  double least = 1e30;
  for (int i = 0; i < 20; ++i) {
    const double begin = thread_seconds();
    encoder.encode(x.data(), words.data());
    least = std::min(least, thread_seconds() - begin);
  }
  return least;
}

SecondMoment moment_of(int64_t size, ThreadPool& threads) {
  constexpr int64_t kRows = 256;
  Rng rng(2, 5);
  std::vector<float> x(static_cast<size_t>(kRows * size));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(rng.normal()) + (i == 0 ? 0.0f : 0.5f * x[i - 1]);
  SecondMoment moment(size);
  moment.add(x.data(), kRows, size, threads);
  return moment;
}

void two_sided_feedback(benchmark::State& state) {
  const int64_t size = state.range(0), tile = 16;
  ThreadPool one(1);
  const SecondMoment moment = moment_of(size, one);
  std::vector<float> w(static_cast<size_t>(size * size), 0.5f);
  const auto keep = [](int64_t, int64_t, const float* target, float* decoded, int) {
    std::copy_n(target, kTrellisTile, decoded);
    for (int i = 0; i < kTrellisTile; ++i) decoded[i] *= 0.9f;
  };
  double loop = 1e30, factors = 1e30;
  for (auto _ : state) {
    const double begin = thread_seconds();
    const BlockLdl in = make_block_ldl(moment, size, tile, 0.01, one),
                   out = make_block_ldl(moment, size, tile, 0.1, one);
    const double made = thread_seconds();
    tile_loop({tile, in.l.data(), out.l.data()}, w.data(), size, size, keep, one);
    factors = std::min(factors, made - begin), loop = std::min(loop, thread_seconds() - made);
    state.SetIterationTime(thread_seconds() - begin);
  }
  const double tiles = static_cast<double>(size / tile * (size / tile));
  state.counters["us/tile"] = 1e6 * loop / tiles;
  state.counters["factors_us/tile"] = 1e6 * factors / tiles;
  for (const auto& [name, code] :
       {std::pair<const char*, TrellisCode>{"percent_of_v2", {2, 4}}, {"percent_of_v1", {1, 6}}}) {
    state.counters[name] = 100 * (loop + factors) / (tiles * search_seconds(code));
  }
}
BENCHMARK(two_sided_feedback)
    ->Arg(512)
    ->Arg(2048)
    ->Arg(4096)
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(3);

}  // namespace
}  // namespace bitloom
