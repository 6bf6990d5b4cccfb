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
  int64_t depth = 0;  // tokens in the context before single ones are measured
  int64_t batch = 1;  // sequences decoded together beside the single one, from empty contexts; 1: none
};

/// What is measured, over functions, so that the arithmetic can be tested without a model or a clock.
struct BenchHooks {
  std::function<void()> reset;                                      // an empty context
  std::function<void(int64_t size)> truncate;                       // the context's first tokens alone
  std::function<void(std::span<const int32_t> tokens)> step;        // appends tokens; logits after the last one
  std::function<void(std::span<const int32_t> tokens)> step_batch;  // a token and its logits for as many sequences
  std::function<double()> read_pass;                                // bytes per second of streaming through memory
  std::function<double()> dot_pass;                                 // operations per second of multiplying and adding
  std::function<double()> clock;                                    // seconds
  int64_t vocab_size = 0;
};

/// Middle and ends of a few measurements.
struct Spread {
  double median = 0, low = 0, high = 0;
};
/// Of an even number the mean of the two in the middle. All 0 for none.
Spread spread_of(std::vector<double> values);

struct BenchResult {
  Spread prompt_rate, decode_rate;          // tokens per second
  Spread batch_rate, batch_gain;            // tokens per second of all sequences; the same in decode rates beside it
  Spread bytes_per_token, dots_per_token;   // what the roof beside a rate did in a token's time
  double read_bandwidth = 0, dot_peak = 0;  // bytes and operations per second, the best pass of the run
};

/// Every repetition runs a prompt of random tokens from an empty context, then, from a context of `depth` tokens,
/// single tokens, and measures both roofs beside them; a prompt and a token before are not counted. Without prompts the
/// context is computed once and cut back. The tokens are the
/// same in every run. Progress in expected microseconds. Error(kUsage) when there is nothing to measure, or for a
/// batch after others.
BenchResult run_bench(const BenchHooks& hooks, const BenchOptions& options, Progress& progress);

/// Bytes of the weights that computing one token reads: every tensor as it is stored, but one row of an embedding that
/// is not the head, and one of learned positions.
int64_t bytes_per_token(const Model& model);

/// Weights of the blocks that a token is multiplied with; 0 where experts make it differ from token to token.
int64_t weights_per_token(const Model& model);

}  // namespace bitloom
