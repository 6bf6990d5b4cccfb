#pragma once
// How fast a model runs: a prompt at once, then token by token, each several times.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "model/model.h"

namespace bitloom {

struct BenchOptions {
  int64_t prompt = 512, decode = 128;  // tokens; 0 leaves a part out
  int64_t repetitions = 5;
};

/// What is measured, over functions, so that the arithmetic can be tested without a model or a clock.
struct BenchHooks {
  std::function<void()> reset;                                // an empty context
  std::function<void(std::span<const int32_t> tokens)> step;  // appends tokens; logits after the last one
  std::function<double()> read_pass;                          // bytes per second of streaming through memory
  std::function<double()> clock;                              // seconds
  int64_t vocab_size = 0;
};

/// Middle and ends of a few measurements.
struct Spread {
  double median = 0, low = 0, high = 0;
};
/// Of an even number the mean of the two in the middle. All 0 for none.
Spread spread_of(std::vector<double> values);

struct BenchResult {
  Spread prompt_rate, decode_rate;  // tokens per second
  double read_bandwidth = 0;        // bytes per second, the best pass of the run
};

/// Every repetition runs a prompt of random tokens from an empty context, then, from an empty context again, single
/// tokens, and reads through memory once; a prompt and a token before are not counted. The tokens are the same in every
/// run. Progress in expected microseconds. Error(kUsage) when there is nothing to measure.
BenchResult run_bench(const BenchHooks& hooks, const BenchOptions& options, Progress& progress);

/// Bytes of the weights that computing one token reads: every tensor as it is stored, but one row of an embedding that
/// is not the head, and one of learned positions.
int64_t bytes_per_token(const Model& model);

/// Share of `bandwidth` (bytes per second) that reading `bytes` for each of `rate` tokens per second amounts to.
double bandwidth_share(int64_t bytes, double rate, double bandwidth);

}  // namespace bitloom
