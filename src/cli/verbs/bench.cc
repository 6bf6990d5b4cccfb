#include "runtime/bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/text/text.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "eval/logits/logits_source.h"
#include "eval/row_math.h"
#include "forward/attention/kv_pages.h"
#include "forward/decoder.h"
#include "forward/weights.h"
#include "hardware/dot_peak.h"
#include "hardware/read_bandwidth.h"
#include "judge/model_figures.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualPrompt = 512, kKlTokens = 64;

struct Flags {
  std::string model, output = "md";
  bool exact = false;
  KvFlag kv;
  BenchOptions options;
};

struct ModelFacts {
  std::string model, format;
  Activations activations = Activations::kInt8;
  KvFormat kv = KvFormat::kFp32;
  int64_t bytes = 0, bytes_per_token = 0, weights_per_token = 0, probe_bytes = 0;
  int64_t cache_bytes = 0;  // that a token reads, on average of those decoded
  int threads = 0;
  RoundedProducts products;       // of layers with rounded inputs
  std::string peak;               // what the roof of prompts counts
  std::optional<double> fast_kl;  // of rounded inputs against exact ones, nats per token
  std::optional<double> kv_kl;    // of the cache against one of fp32
  bool fast() const { return activations == Activations::kInt8; }
  /// Of weights and cache, of a token of as many that share the weights.
  double read_bytes(int64_t batch = 1) const {
    return static_cast<double>(bytes_per_token) / static_cast<double>(batch) + static_cast<double>(cache_bytes);
  }
};

/// Shares of the two roofs, each of the repetition's own pass.
double decode_share(const ModelFacts& facts, const BenchResult& result) {
  const double roof = result.bytes_per_token.median;
  return roof > 0 ? facts.read_bytes() / roof : 0;
}
double prompt_share(const ModelFacts& facts, const BenchResult& result) {
  const double roof = result.dots_per_token.median;
  return roof > 0 ? 2 * static_cast<double>(facts.weights_per_token) / roof : 0;
}

/// A prompt is as long as asked; one that was not asked for shrinks to the model's context.
void fit_context(BenchOptions& options, const Checkpoint& model) {
  const int64_t context = model.graph().max_positions;
  if (options.prompt < 0) options.prompt = context > 0 ? std::min(kUsualPrompt, context) : kUsualPrompt;
  if (context == 0) return;
  if (options.prompt > context)
    refuse("{}: -p {} is more than the model's context of {}", model.path(), options.prompt, context);
  if (options.decode + options.depth > context)
    refuse("{}: -n {}{} is more than the model's context of {}", model.path(), options.decode,
           options.depth > 0 ? fmt::format(" after -d {}", options.depth) : "", context);
}

Json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

Json record_of(const ModelFacts& facts, const BenchOptions& options, const BenchResult& result) {
  Json record = {{"model", facts.model},
                 {"format", facts.format},
                 {"bytes", facts.bytes},
                 {"bytes_per_token", facts.bytes_per_token},
                 {"cache_bytes_per_token", facts.cache_bytes},
                 {"activations", facts.fast() ? "fast" : "exact"},
                 {"kv", name_of(facts.kv)},
                 {"threads", facts.threads},
                 {"prompt_tokens", options.prompt},
                 {"tokens", options.decode},
                 {"depth", options.depth},
                 {"repetitions", options.repetitions},
                 {"prompt_tokens_per_second", spread_json(result.prompt_rate)},
                 {"tokens_per_second", spread_json(result.decode_rate)},
                 {"weight_bytes_per_second", static_cast<double>(facts.bytes_per_token) * result.decode_rate.median},
                 {"read_bandwidth", result.read_bandwidth},
                 {"bandwidth_share", decode_share(facts, result)},
                 {"dot_peak", result.dot_peak},
                 {"dot_peak_of", facts.peak},
                 {"dot_share", prompt_share(facts, result)}};
  if (facts.products.all() > 0) record["products"] = to_json(facts.products);
  if (facts.fast_kl) record["fast_kl"] = *facts.fast_kl;
  if (facts.kv_kl) record["kv_kl"] = *facts.kv_kl;
  if (options.batch > 1 && options.decode > 0) {
    record["batch"] = options.batch;
    record["batch_tokens_per_second"] = spread_json(result.batch_rate);
    record["batch_gain"] = spread_json(result.batch_gain);
  }
  return record;
}

std::string spread_text(const Spread& spread) {
  return fmt::format("{} ({} to {})", format_rate(spread.median), format_rate(spread.low), format_rate(spread.high));
}

std::string text_of(const ModelFacts& facts, const BenchOptions& options, const BenchResult& result) {
  Table table({{"model", Align::kLeft},
               {"format", Align::kLeft},
               {"MiB"},
               {"threads"},
               {"test", Align::kLeft},
               {"tokens/s"},
               {"rate"},
               {"of the roof"}});
  const auto add = [&](const std::string& test, const Spread& spread, double each, const char* unit, double share) {
    table.add({facts.model, facts.format, format_mib(facts.bytes), fmt::format("{}", facts.threads), test,
               spread_text(spread), format_significant(each * spread.median / 1e9, 3) + unit,
               share > 0 ? format_percent(share) : "-"});
  };
  if (options.prompt > 0) {
    add(fmt::format("prompt of {}", options.prompt), result.prompt_rate,
        2 * static_cast<double>(facts.weights_per_token), " GOP/s", prompt_share(facts, result));
  }
  if (options.decode > 0) {
    const std::string at = options.depth > 0 ? fmt::format(" after {}", options.depth) : "";
    add(fmt::format("{} tokens{}", options.decode, at), result.decode_rate, facts.read_bytes(), " GB/s",
        decode_share(facts, result));
  }
  if (options.batch > 1 && options.decode > 0) {
    const double each = facts.read_bytes(options.batch);
    const double share = decode_share(facts, result) * result.batch_gain.median * each / facts.read_bytes();
    add(fmt::format("{} x {} tokens", options.batch, options.decode), result.batch_rate, each, " GB/s", share);
  }
  const std::string gain = result.batch_gain.median > 0
                               ? fmt::format("{} sequences at once: {} times the tokens of one.\n", options.batch,
                                             format_significant(result.batch_gain.median, 3))
                               : "";
  const auto kl = [](const std::string& what, const std::optional<double>& nats) {
    return nats ? fmt::format("KL of {}: {} nats per token, over {} random tokens.\n", what,
                              format_significant(*nats, 3), kKlTokens)
                : "";
  };
  return table.to_markdown() +
         fmt::format(
             "\nMedian of {} repetitions (lowest to highest) after a warm-up. A token reads {} of weights and {} "
             "of\n"
             "keys and values ({}). Roofs, measured beside each by the same threads, at best: {} GB/s through {}; {} "
             "GOP/s\n"
             "of {} products and sums.\n{}{}{}{}",
             options.repetitions, human_bytes(facts.bytes_per_token), human_bytes(facts.cache_bytes), name_of(facts.kv),
             format_significant(result.read_bandwidth / 1e9, 3), human_bytes(facts.probe_bytes),
             format_significant(result.dot_peak / 1e9, 3), facts.peak, gain,
             facts.products.all() > 0 ? to_string(facts.products) + ".\n" : "",
             kl("rounded inputs against exact ones", facts.fast_kl),
             kl(fmt::format("the {} cache against one of fp32", name_of(facts.kv)), facts.kv_kl));
}

/// A decoder and its cache behind the bench's functions.
class Stepper {
 public:
  Stepper(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads, Activations activations, KvFormat kv,
          int64_t capacity, int64_t batch)
      : decoder_(model, threads, activations),
        cache_(model->graph(), capacity, kv),
        pages_(model->graph(), batch * pages_of(capacity), kv),
        sequences_(static_cast<size_t>(batch)),
        logits_(static_cast<size_t>(batch * model->graph().vocab_size)) {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      sequences_[s].resize(static_cast<size_t>(pages_of(capacity)));
      std::iota(sequences_[s].begin(), sequences_[s].end(), static_cast<int64_t>(s) * pages_of(capacity));
    }
  }

  const Decoder& decoder() const { return decoder_; }
  void reset() { cache_.clear(), batch_position_ = 0; }
  void truncate(int64_t size) { cache_.truncate(size); }
  void step(std::span<const int32_t> tokens) {
    const std::span<const float> hidden = decoder_.step(tokens, cache_);
    decoder_.logits(hidden.last(static_cast<size_t>(decoder_.hidden_width())), 1, logits_.data());
  }
  void step_batch(std::span<const int32_t> tokens) {
    std::vector<std::vector<KvRun>> runs(tokens.size());
    std::vector<SequenceStep> steps;
    for (size_t s = 0; s < tokens.size(); ++s) {
      pages_.add_runs(sequences_[s], batch_position_ + 1, runs[s]);
      steps.push_back({tokens.subspan(s, 1), batch_position_, runs[s]});
    }
    ++batch_position_;
    decoder_.logits(decoder_.steps(steps), static_cast<int64_t>(tokens.size()), logits_.data());
  }

 private:
  static int64_t pages_of(int64_t tokens) { return (tokens + kKvPageRows - 1) / kKvPageRows; }

  Decoder decoder_;
  KvCache cache_;
  KvPages pages_;                                // of the batch
  std::vector<std::vector<int64_t>> sequences_;  // pages of each
  int64_t batch_position_ = 0;
  std::vector<float> logits_;
};

/// How a model is run.
struct Rounding {
  Activations activations;
  KvFormat kv;
};

/// Mean KL of the logits of kKlTokens random tokens, at most the model's context, between two ways to run it.
/// In passes that round the most inputs.
double measure_kl(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads, const Rounding& original,
                  const Rounding& rounded) {
  const Graph& graph = model->graph();
  const int64_t count = graph.max_positions > 0 ? std::min(kKlTokens, graph.max_positions) : kKlTokens;
  Rng rng(1, 0x6b6c);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.next_u32() % static_cast<uint64_t>(graph.vocab_size));
  std::vector<float> logits[2];
  for (size_t i = 0; i < 2; ++i) {
    const Rounding& rounding = i == 0 ? original : rounded;
    Decoder decoder(model, threads, rounding.activations);
    logits[i].resize(static_cast<size_t>(count * graph.vocab_size));
    const std::unique_ptr<LogitsSource> steps = logits_of_steps(decoder, decoder.rounding_rows(), rounding.kv);
    steps->run(tokens);
    steps->logits(0, count, logits[i].data());
  }
  double sum = 0;
  for (int64_t t = 0; t < count; ++t) {
    const auto row = [&](const std::vector<float>& all) {
      return std::span(all).subspan(static_cast<size_t>(t * graph.vocab_size), static_cast<size_t>(graph.vocab_size));
    };
    sum += row_divergence(row(logits[0]), row(logits[1]), tokens.front()).kl;
  }
  return sum / static_cast<double>(count);
}

/// "8-bit", or "8-bit and fp32" where blocks have layers of both.
std::string peak_name(const PromptWeights& weights) {
  std::vector<std::string> names;
  if (weights.int8 > 0) names.push_back("8-bit");
  if (weights.bf16 > 0) names.push_back("BF16");
  if (weights.fp32 > 0 || names.empty()) names.push_back("fp32");
  return fmt::format("{}", fmt::join(names, " and "));
}

/// The rate of products of which each kind has its weights' share; 0 where one's peak is unknown.
double peak_of(const PromptWeights& weights, const DotPeak& peak) {
  if (weights.all() == 0) return peak.fp32;
  double time = 0;
  for (const auto& [count, rate] :
       {std::pair(weights.int8, peak.int8), std::pair(weights.bf16, peak.bf16), std::pair(weights.fp32, peak.fp32)}) {
    if (count > 0 && rate == 0) return 0;
    if (count > 0) time += static_cast<double>(count) / rate;
  }
  return static_cast<double>(weights.all()) / time;
}

/// Bytes of keys and values that a token reads, on average of `count` tokens after `depth`.
int64_t mean_cache_bytes(const Graph& graph, KvFormat kv, int64_t depth, int64_t count) {
  int64_t total = 0;
  for (int64_t i = 1; i <= count; ++i) total += kv_bytes_read(graph, kv, depth + i);
  return total / std::max<int64_t>(count, 1);
}

void bench(const Flags& flags, Session& session) {
  const auto model = Checkpoint::open(flags.model, session.warner());
  BenchOptions options = flags.options;
  fit_context(options, *model);
  ThreadPool& threads = session.context().threads;
  ModelFacts facts;
  facts.model = flags.model, facts.format = size_of(*model).format;
  facts.activations = flags.exact ? Activations::kExact : Activations::kInt8;
  facts.bytes_per_token = bytes_per_token(*model), facts.weights_per_token = weights_per_token(*model);
  facts.threads = threads.thread_count();
  for (const CheckpointTensor& tensor : model->tensors()) facts.bytes += tensor.rows->stored_bytes();
  facts.kv = flags.kv.format();
  facts.cache_bytes = mean_cache_bytes(model->graph(), facts.kv, options.depth, options.decode);
  const Rounding as_asked = {facts.activations, facts.kv}, fp32_cache = {facts.activations, KvFormat::kFp32};
  if (facts.fast()) facts.fast_kl = measure_kl(model, threads, {Activations::kExact, KvFormat::kFp32}, fp32_cache);
  if (facts.kv != KvFormat::kFp32) facts.kv_kl = measure_kl(model, threads, fp32_cache, as_asked);
  Stepper stepper(model, threads, facts.activations, facts.kv,
                  std::max(options.prompt, options.decode + options.depth) + 1, options.batch);
  const PromptWeights prompt_weights = stepper.decoder().prompt_weights();
  facts.peak = peak_name(prompt_weights);
  facts.products = stepper.decoder().rounded_products();
  std::optional<BandwidthProbe> probe;  // made when first needed: a large buffer
  const auto read_pass = [&] {
    if (!probe) probe.emplace(threads, bandwidth_buffer_bytes());
    return probe->pass(steady_seconds);
  };
  const auto dot_pass = [&] { return peak_of(prompt_weights, measure_dot_peak(threads, steady_seconds)); };
  const BenchHooks hooks = {.reset = [&] { stepper.reset(); },
                            .truncate = [&](int64_t size) { stepper.truncate(size); },
                            .step = [&](std::span<const int32_t> tokens) { stepper.step(tokens); },
                            .step_batch = [&](std::span<const int32_t> tokens) { stepper.step_batch(tokens); },
                            .read_pass = read_pass,
                            .dot_pass = dot_pass,
                            .clock = steady_seconds,
                            .vocab_size = model->graph().vocab_size};
  const BenchResult result = run_bench(hooks, options, session.progress());
  facts.probe_bytes = probe->bytes();
  if (flags.output == "json") session.json = true;
  session.show(record_of(facts, options, result), text_of(facts, options, result));
}

std::string check_output_format(const std::string& text) {
  const std::vector<std::string> allowed = {"md", "json"};
  if (text == "md" || text == "json") return "";
  return fmt::format("'{}'{}; allowed: md, json", text, did_you_mean(text, allowed));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  flags->options.prompt = -1;
  add_model_flag(app, flags->model);
  app.add_option("-p,--prompt", flags->options.prompt,
                 fmt::format("tokens of a prompt; 0: leave it out (default {}, or the model's context)", kUsualPrompt))
      ->type_name("N")
      ->check(integer_in(0, int64_t{1} << 24));
  app.add_option("-n,--tokens", flags->options.decode, "tokens to compute one by one; 0: leave it out")
      ->type_name("N")
      ->check(integer_in(0, int64_t{1} << 24))
      ->capture_default_str();
  app.add_option("-d,--depth", flags->options.depth, "tokens in the context before those")
      ->type_name("N")
      ->check(integer_in(0, int64_t{1} << 24))
      ->capture_default_str();
  app.add_option("-b,--batch", flags->options.batch,
                 "also decode so many sequences together, and say how many times one's tokens these are")
      ->type_name("N")
      ->check(integer_in(1, 1024))
      ->capture_default_str();
  app.add_option("-r,--repetitions", flags->options.repetitions, "how often each is measured")
      ->type_name("N")
      ->check(integer_in(1, 1000))
      ->capture_default_str();
  app.add_option("-o,--output", flags->output, "md (a Markdown table) or json")
      ->type_name("FORMAT")
      ->check(check_output_format)
      ->capture_default_str();
  add_exact_flag(app, flags->exact);
  add_kv_flag(app, flags->kv);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { bench(*flags, session); };
}

}  // namespace

Verb bench_verb() {
  return {"bench",
          "how fast a model runs, and what share of the memory's bandwidth it uses",
          "MODEL [flags]",
          {"bitloom bench assets/demo -p 128 -n 64", "bitloom bench model.gguf -p 512 -n 128 -r 5 -t 8 -o json"},
          setup};
}

}  // namespace bitloom
