#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/text/text.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/sampler_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "model/checkpoint/checkpoint.h"
#include "serve/server.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, name, cache = "1G", body = "4M";
  bool exact = false;
  KvFlag kv;
  SamplerOptions sampler;
  int64_t max_tokens = 1024, queue = 256;
  double grace = 5;
  BatchLimits limits;
  ServerOptions server;
};

/// "SmolLM2" of "models/SmolLM2.gguf".
std::string name_of(const std::string& path) {
  std::filesystem::path last = std::filesystem::path(path).lexically_normal();
  if (!last.has_filename()) last = last.parent_path();
  return last.extension() == ".gguf" ? last.stem().string() : last.filename().string();
}

/// As many as the memory holds, and as all sequences can use.
int64_t pages_of(const Flags& flags, const Graph& graph) {
  const int64_t bytes = KvPages::page_bytes(graph, flags.limits.kv);
  const int64_t pages = parse_bytes(flags.cache, "--cache") / bytes;
  if (pages < 1) misuse("--cache {}: a page of {} tokens takes {}", flags.cache, kKvPageRows, human_bytes(bytes));
  if (graph.max_positions == 0) return pages;
  return std::min(pages, flags.limits.sequences * ((graph.max_positions + kKvPageRows - 1) / kKvPageRows));
}

ServedModel served(const Flags& flags, const Checkpoint& model, Session& session) {
  ServedModel out{.name = flags.name.empty() ? name_of(flags.model) : flags.name,
                  .tokenizer = model.tokenizer(),
                  .chat_template = {},
                  .context = model.graph().max_positions,
                  .created = std::time(nullptr),
                  .sampler = flags.sampler,
                  .max_tokens = flags.max_tokens};
  if (model.has_chat_template()) {
    out.chat_template = model.chat_template();
  } else {
    session.warner()(flags.model + ": no chat template: /v1/chat/completions is refused");
  }
  return out;
}

void serve(Flags flags, Session& session) {
  constexpr double kMostSeconds = 1e8;  // three years: clocks count nanoseconds in 64 bits
  const double grace = flags.grace, limit = flags.server.seconds;
  if (!(grace >= 0 && grace <= kMostSeconds)) misuse("--grace {}: must be from 0 to 1e8 seconds", grace);
  if (!(limit > 0 && limit <= kMostSeconds)) misuse("--time-limit {}: must be above 0 and at most 1e8 seconds", limit);
  const Sampler checks_options(flags.sampler);
  const auto model = Checkpoint::open(flags.model, session.warner());
  flags.limits.kv = flags.kv.format();
  flags.limits.pages = pages_of(flags, model->graph());
  flags.server.body_bytes = parse_bytes(flags.body, "--max-body");
  const ServedModel of = served(flags, *model, session);
  flags.server.seed = flags.sampler.seed;
  ThreadPool& threads = session.context().threads;
  Decoder decoder(model, threads, flags.exact ? Activations::kExact : Activations::kInt8);
  const InterruptGuard guard;
  Engine engine(decoder, of.tokenizer, threads, flags.limits, flags.queue);
  Server server(of, engine, flags.server);
  const std::string address = fmt::format("http://{}:{}", flags.server.host, server.port());
  session.progress().log(fmt::format("{} at {}/v1, a page to chat at {}/; cache: {} tokens; Ctrl-C ends", of.name,
                                     address, address, flags.limits.pages * kKvPageRows));
  while (noted_signal_number() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  session.progress().log("closing: what runs has " + fmt::format("{} seconds", flags.grace));
  server.close(flags.grace);
  const BatchCounts counts = engine.counts();
  session.show({{"answers", counts.requests},
                {"prompt_tokens", counts.prompt_tokens},
                {"shared_tokens", counts.shared_tokens},
                {"tokens", counts.tokens}},
               fmt::format("{} answers of {} tokens\n", counts.requests, counts.tokens));
}

void add_limit_flags(FlagSet& app, Flags& flags) {
  app.add_option("-n,--max-tokens", flags.max_tokens, "most tokens of an answer")
      ->type_name("N")
      ->check(integer_from(1))
      ->capture_default_str();
  app.add_option("--parallel", flags.limits.sequences, "answers computed at once")
      ->type_name("N")
      ->check(integer_in(1, 4096))
      ->capture_default_str();
  app.add_option("--queue", flags.queue, "answers that may wait; more get status 429")
      ->type_name("N")
      ->check(integer_from(1))
      ->capture_default_str();
  app.add_option("--cache", flags.cache, "memory for keys and values")->type_name("BYTES")->capture_default_str();
  app.add_option("--prompt-rows", flags.limits.prompt_rows, "tokens of prompts computed between two tokens of answers")
      ->type_name("N")
      ->check(integer_in(1, 65536))
      ->capture_default_str();
  app.add_option("--time-limit", flags.server.seconds, "seconds for an answer, waiting included")
      ->type_name("S")
      ->capture_default_str();
  app.add_option("--max-body", flags.body, "largest request")->type_name("BYTES")->capture_default_str();
  app.add_option("--connections", flags.server.connections, "clients connected at once; others wait")
      ->type_name("N")
      ->check(integer_in(1, 4096))
      ->capture_default_str();
  app.add_option("--grace", flags.grace, "seconds that running answers have after SIGTERM")
      ->type_name("S")
      ->capture_default_str();
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("--host", flags->server.host, "address to listen on; 0.0.0.0: every one of this machine")
      ->type_name("ADDRESS")
      ->capture_default_str();
  app.add_option("--port", flags->server.port, "port; 0: any that is free")
      ->type_name("N")
      ->check(integer_in(0, 65535))
      ->capture_default_str();
  app.add_option("--api-key", flags->server.api_key, "what clients must send as Authorization: Bearer KEY")
      ->type_name("KEY");
  app.add_option("--name", flags->name, "what requests call the model (default: from MODEL)")->type_name("NAME");
  add_limit_flags(app, *flags);
  add_sampler_flags(app, flags->sampler);
  add_exact_flag(app, flags->exact);
  add_kv_flag(app, flags->kv);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { serve(*flags, session); };
}

}  // namespace

Verb serve_verb() {
  return {"serve",
          "answer OpenAI's HTTP API, many clients at once",
          "MODEL [flags]",
          {"bitloom serve SmolLM2.gguf --port 8080",
           "bitloom serve assets/demo --host 0.0.0.0 --api-key SECRET --parallel 16"},
          setup};
}

}  // namespace bitloom
