#include "runtime/bench.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "runtime/generate_loop.h"

namespace bitloom {
namespace {

constexpr uint64_t kSeed = 1, kStream = 0x62656e6368;  // "bench"

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab) {
  Rng rng(kSeed, kStream);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.next_u32() % static_cast<uint64_t>(vocab));
  return tokens;
}

class Bench {
 public:
  Bench(const BenchHooks& hooks, const BenchOptions& options)
      : hooks_(hooks),
        options_(options),
        tokens_(random_tokens(std::max({options.prompt, options.decode, options.depth}), hooks.vocab_size)) {}

  /// Seconds of the whole prompt.
  double prompt() const {
    hooks_.reset();
    return fill(options_.prompt);
  }

  /// Seconds of `count` single tokens after those of the depth, which are computed once and kept.
  double decode(int64_t count) {
    if (filled_ && options_.depth > 0) {
      hooks_.truncate(options_.depth);
    } else {
      hooks_.reset();
      fill(options_.depth);
      filled_ = options_.prompt == 0;  // else the next prompt takes their place
    }
    const double start = hooks_.clock();
    for (int64_t i = 0; i < count; ++i) hooks_.step({&tokens_[static_cast<size_t>(i)], 1});
    return hooks_.clock() - start;
  }

  /// Seconds of decoding that many tokens of every sequence of the batch together.
  double decode_batch() const {
    hooks_.reset();
    const double start = hooks_.clock();
    for (int64_t i = 0; i < options_.decode; ++i) {
      const std::vector<int32_t> tokens(static_cast<size_t>(options_.batch), tokens_[static_cast<size_t>(i)]);
      hooks_.step_batch(tokens);
    }
    return hooks_.clock() - start;
  }

 private:
  /// Seconds of the first `count` tokens in chunks.
  double fill(int64_t count) const {
    const double start = hooks_.clock();
    const std::span<const int32_t> all(tokens_.data(), static_cast<size_t>(count));
    for (size_t done = 0; done < all.size();) {
      const size_t step = std::min(all.size() - done, static_cast<size_t>(kPromptChunk));
      hooks_.step(all.subspan(done, step));
      done += step;
    }
    return hooks_.clock() - start;
  }

  const BenchHooks& hooks_;
  const BenchOptions& options_;
  std::vector<int32_t> tokens_;
  bool filled_ = false;  // the context begins with the tokens of the depth
};

double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

int64_t microseconds(double seconds) { return static_cast<int64_t>(seconds * 1e6); }

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

BenchResult run_bench(const BenchHooks& hooks, const BenchOptions& options, Progress& progress) {
  if (options.prompt + options.decode == 0) misuse("-p 0 and -n 0: nothing to measure");
  if (options.batch > 1 && options.depth > 0) misuse("-b {} goes without -d {}", options.batch, options.depth);
  Bench bench(hooks, options);
  const double warm_prompt = options.prompt > 0 ? bench.prompt() : 0;
  const double warm_decode = options.decode > 0 ? bench.decode(1) * static_cast<double>(options.decode) : 0;
  progress.begin("measuring", options.repetitions * microseconds(warm_prompt + warm_decode));
  BenchResult result;
  std::vector<double> prompt_rates, decode_rates, batch_rates, gains, bytes, dots;
  for (int64_t i = 0; i < options.repetitions; ++i) {
    if (options.prompt > 0) {
      prompt_rates.push_back(rate(options.prompt, bench.prompt()));
      const double peak = hooks.dot_pass();
      result.dot_peak = std::max(result.dot_peak, peak);
      dots.push_back(peak / prompt_rates.back());
    }
    progress.advance(microseconds(warm_prompt), "prompt");
    const double bandwidth = hooks.read_pass();
    result.read_bandwidth = std::max(result.read_bandwidth, bandwidth);
    if (options.decode > 0) {
      decode_rates.push_back(rate(options.decode, bench.decode(options.decode)));
      bytes.push_back(bandwidth / decode_rates.back());
    }
    if (options.decode > 0 && options.batch > 1) {
      batch_rates.push_back(rate(options.batch * options.decode, bench.decode_batch()));
      gains.push_back(batch_rates.back() / decode_rates.back());
    }
    progress.advance(microseconds(warm_decode), "tokens");
  }
  progress.end();
  result.dots_per_token = spread_of(std::move(dots));
  result.bytes_per_token = spread_of(std::move(bytes));
  result.prompt_rate = spread_of(std::move(prompt_rates));
  result.decode_rate = spread_of(std::move(decode_rates));
  result.batch_rate = spread_of(std::move(batch_rates));
  result.batch_gain = spread_of(std::move(gains));
  return result;
}

int64_t bytes_per_token(const Model& model) {
  const Graph& graph = model.graph();
  int64_t bytes = 0;
  for (const CheckpointTensor& tensor : model.tensors()) {
    const bool looked_up =
        (tensor.name == graph.embedding && !graph.tied_head) || tensor.name == graph.position_embedding;
    const int64_t stored = tensor.rows->stored_bytes();
    bytes += looked_up ? stored / tensor.rows->rows() : stored;
  }
  return bytes;
}

int64_t weights_per_token(const Model& model) {
  int64_t weights = 0;
  for (const Block& block : model.graph().blocks) {
    if (block.experts.present()) return 0;
    for (const Linear& linear : block.linears) {
      if (!linear.present()) continue;
      const RowSourcePtr matrix = model.matrix(linear);
      weights += matrix->rows() * matrix->cols();
    }
  }
  return weights;
}

}  // namespace bitloom
