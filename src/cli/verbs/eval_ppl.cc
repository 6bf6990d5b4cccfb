#include <fmt/format.h>

#include "cli/flags/adapter_flag.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/text_flags.h"
#include "cli/verb.h"
#include "eval/perplexity.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualContext = 512;

struct Flags {
  std::string model;
  AdapterFlag adapter;
  TextOptions text;
};

Json record_of(const PerplexityResult& result, const EvaluationText& text, const Checkpoint& model) {
  Json record = provenance(text, model);
  record["ppl"] = result.perplexity;
  record["ppl_ci95"] = {result.perplexity_low, result.perplexity_high};
  record["nll"] = result.nll;
  record["tokens"] = result.tokens;
  record["windows"] = result.windows;
  if (result.bits_per_byte > 0) record["bits_per_byte"] = result.bits_per_byte;
  record["seconds"] = result.seconds;
  return record;
}

std::string text_of(const PerplexityResult& result, const EvaluationText& text, const Checkpoint& model) {
  Facts facts = {
      {"perplexity", fmt::format("{:.4f}  (95 % interval {} to {})", result.perplexity,
                                 format_perplexity(result.perplexity_low), format_perplexity(result.perplexity_high))},
      {"nll", fmt::format("{:.6f} nats per token", result.nll)}};
  if (result.bits_per_byte > 0) facts.push_back({"bits per byte", fmt::format("{:.4f}", result.bits_per_byte)});
  for (auto& fact : provenance_facts(text, model)) facts.push_back(std::move(fact));
  facts.push_back({"time", fmt::format("{}, {} tokens/s", format_duration(result.seconds),
                                       format_rate(static_cast<double>(result.tokens) / result.seconds))});
  return facts_text(facts);
}

void evaluate(const Flags& flags, Session& session) {
  const auto model = open_model(flags.model, flags.adapter, session);
  const EvaluationText text = cut_evaluation_text(flags.text, *model, kUsualContext, session.warner());
  Decoder decoder(model, session.context().threads);
  const auto logits = logits_of(decoder);
  const PerplexityResult result = perplexity(*logits, text.windows, session.context());
  session.show(flags.adapter.noted(record_of(result, text, *model)), text_of(result, text, *model));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  add_adapter_flag(app, flags->adapter);
  add_text_flags(app, flags->text, kUsualContext);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { evaluate(*flags, session); };
}

}  // namespace

Verb eval_ppl_verb() {
  return {"eval ppl",
          "perplexity of a text",
          "MODEL --text FILE [flags]",
          {"bitloom eval ppl assets/demo --text assets/demo/evaluation.txt",
           "bitloom eval ppl model.gguf --text wiki.test.raw --protocol llamacpp -c 512 --windows 20"},
          setup};
}

}  // namespace bitloom
