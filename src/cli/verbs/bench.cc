#include "runtime/bench.h"

#include <fmt/format.h>

#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "forward/decoder.h"
#include "hardware/read_bandwidth.h"
#include "judge/model_figures.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualPrompt = 512;

struct Flags {
  std::string model, output = "md", activations = "exact";
  BenchOptions options;
};

struct ModelFacts {
  std::string model, format, activations;
  int64_t bytes = 0, bytes_per_token = 0, probe_bytes = 0;
  int threads = 0;
};

/// A prompt is as long as asked; one that was not asked for shrinks to the model's context.
void fit_context(BenchOptions& options, const Checkpoint& model) {
  const int64_t context = model.graph().max_positions;
  if (options.prompt < 0) options.prompt = context > 0 ? std::min(kUsualPrompt, context) : kUsualPrompt;
  if (context == 0) return;
  if (options.prompt > context)
    refuse("{}: -p {} is more than the model's context of {}", model.path(), options.prompt, context);
  if (options.decode > context)
    refuse("{}: -n {} is more than the model's context of {}", model.path(), options.decode, context);
}

Json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

Json record_of(const ModelFacts& facts, const BenchOptions& options, const BenchResult& result) {
  const double share = bandwidth_share(facts.bytes_per_token, result.decode_rate.median, result.read_bandwidth);
  return {{"model", facts.model},
          {"format", facts.format},
          {"bytes", facts.bytes},
          {"bytes_per_token", facts.bytes_per_token},
          {"activations", facts.activations},
          {"threads", facts.threads},
          {"prompt_tokens", options.prompt},
          {"tokens", options.decode},
          {"repetitions", options.repetitions},
          {"prompt_tokens_per_second", spread_json(result.prompt_rate)},
          {"tokens_per_second", spread_json(result.decode_rate)},
          {"weight_bytes_per_second", static_cast<double>(facts.bytes_per_token) * result.decode_rate.median},
          {"read_bandwidth", result.read_bandwidth},
          {"bandwidth_share", share}};
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
               {"GB/s"},
               {"of read bandwidth"}});
  const auto add = [&](const std::string& test, const Spread& spread, bool reads) {
    const double bytes = static_cast<double>(facts.bytes_per_token) * spread.median;
    const double share = bandwidth_share(facts.bytes_per_token, spread.median, result.read_bandwidth);
    table.add({facts.model, facts.format, format_mib(facts.bytes), fmt::format("{}", facts.threads), test,
               spread_text(spread), reads ? format_significant(bytes / 1e9, 3) : "-",
               reads ? format_percent(share) : "-"});
  };
  if (options.prompt > 0) add(fmt::format("prompt of {}", options.prompt), result.prompt_rate, false);
  if (options.decode > 0) add(fmt::format("{} tokens", options.decode), result.decode_rate, true);
  return table.to_markdown() +
         fmt::format(
             "\nMedian of {} repetitions (lowest to highest) after a warm-up, each from an empty context. A token "
             "reads\n"
             "{} of weights; read bandwidth {} GB/s, the best of {} passes through {} by the same threads.\n",
             options.repetitions, human_bytes(facts.bytes_per_token),
             format_significant(result.read_bandwidth / 1e9, 3), options.repetitions, human_bytes(facts.probe_bytes));
}

/// A decoder and its cache behind the bench's functions.
class Stepper {
 public:
  Stepper(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads, Activations activations,
          int64_t capacity)
      : decoder_(model, threads, activations),
        cache_(model->graph(), capacity),
        logits_(static_cast<size_t>(model->graph().vocab_size)) {}

  void reset() { cache_.clear(); }
  void step(std::span<const int32_t> tokens) {
    const std::span<const float> hidden = decoder_.step(tokens, cache_);
    decoder_.logits(hidden.last(static_cast<size_t>(decoder_.hidden_width())), 1, logits_.data());
  }

 private:
  Decoder decoder_;
  KvCache cache_;
  std::vector<float> logits_;
};

void bench(const Flags& flags, Session& session) {
  const auto model = Checkpoint::open(flags.model, session.warner());
  BenchOptions options = flags.options;
  fit_context(options, *model);
  ThreadPool& threads = session.context().threads;
  Stepper stepper(model, threads, activations_of(flags.activations),
                  std::max<int64_t>(1, std::max(options.prompt, options.decode)));
  std::optional<BandwidthProbe> probe;  // made when first needed: a large buffer
  const auto read_pass = [&] {
    if (!probe) probe.emplace(threads, bandwidth_buffer_bytes());
    return probe->pass(steady_seconds);
  };
  const BenchHooks hooks = {.reset = [&] { stepper.reset(); },
                            .step = [&](std::span<const int32_t> tokens) { stepper.step(tokens); },
                            .read_pass = read_pass,
                            .clock = steady_seconds,
                            .vocab_size = model->graph().vocab_size};
  const BenchResult result = run_bench(hooks, options, session.progress());
  ModelFacts facts = {flags.model,    size_of(*model).format, flags.activations, 0, bytes_per_token(*model),
                      probe->bytes(), threads.thread_count()};
  for (const CheckpointTensor& tensor : model->tensors()) facts.bytes += tensor.rows->stored_bytes();
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
  app.add_option("-r,--repetitions", flags->options.repetitions, "how often each is measured")
      ->type_name("N")
      ->check(integer_in(1, 1000))
      ->capture_default_str();
  app.add_option("-o,--output", flags->output, "md (a Markdown table) or json")
      ->type_name("FORMAT")
      ->check(check_output_format)
      ->capture_default_str();
  add_activations_flag(app, flags->activations);
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
