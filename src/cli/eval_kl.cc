#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "cli/common_flags.h"
#include "cli/text_flags.h"
#include "cli/verb.h"
#include "eval/divergence.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualContext = 512;

struct Flags {
  std::string model, reference, save_reference;
  TextFlags text;
};

// A model that runs: what it needs, in the order in which it must be destroyed.
struct Runner {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<LogitsSource> logits;
};

Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, Session& session) {
  Runner runner;
  runner.checkpoint = std::move(checkpoint);
  runner.decoder = std::make_unique<Decoder>(runner.checkpoint, session.context().threads);
  runner.logits = logits_of(*runner.decoder);
  return runner;
}

// Token ids must mean the same to both, or the comparison is between different texts.
void check_same_tokens(const Checkpoint& model, const Checkpoint& reference, const EvaluationText& text) {
  if (model.graph().vocab_size != reference.graph().vocab_size)
    refuse("{}: vocabulary of {} tokens, but the reference {} has {}", model.path(), model.graph().vocab_size,
           reference.path(), reference.graph().vocab_size);
  if (model.tokenizer().hash() == reference.tokenizer().hash()) return;
  const TextWindows other = cut_windows(text.text, reference.tokenizer(), text.options);
  bool same = other.windows.size() == text.windows.windows.size();
  for (size_t i = 0; same && i < other.windows.size(); ++i)
    same = other.windows[i].tokens == text.windows.windows[i].tokens;
  if (!same)
    refuse("{}: its tokenizer and that of the reference {} give different tokens for {}", model.path(),
           reference.path(), text.file);
}

Json record_of(const DivergenceResult& result, const EvaluationText& text, const Checkpoint& model,
               const std::string& reference) {
  Json record = provenance(text, model);
  record["ref"] = reference;
  record["kl_mean"] = result.kl_mean;
  record["kl_ci95"] = {result.kl_low, result.kl_high};
  record["kl_median"] = result.kl_median;
  record["kl_p90"] = result.kl_p90;
  record["kl_p99"] = result.kl_p99;
  record["kl_p999"] = result.kl_p999;
  record["kl_max"] = result.kl_max;
  record["top1"] = result.top1;
  record["nll"] = result.nll;
  record["nll_ref"] = result.nll_ref;
  record["ppl"] = std::exp(result.nll);
  record["ppl_ref"] = std::exp(result.nll_ref);
  record["tokens"] = result.tokens;
  record["windows"] = result.windows;
  record["seconds"] = result.seconds;
  return record;
}

std::string text_of(const DivergenceResult& result, const EvaluationText& text, const Checkpoint& model,
                    const std::string& reference) {
  const auto kl = [](double value) { return format_significant(value, 3); };
  Facts facts = {
      {"mean KL", format_interval(result.kl_mean, result.kl_low, result.kl_high) + " nats per token (95 % interval)"},
      {"percentiles", fmt::format("50 %: {}   90 %: {}   99 %: {}   99.9 %: {}   max: {}", kl(result.kl_median),
                                  kl(result.kl_p90), kl(result.kl_p99), kl(result.kl_p999), kl(result.kl_max))},
      {"same top-1", format_percent(result.top1)},
      {"perplexity", fmt::format("{} (reference {})", format_perplexity(std::exp(result.nll)),
                                 format_perplexity(std::exp(result.nll_ref)))},
      {"reference", reference}};
  for (auto& fact : provenance_facts(text, model)) facts.push_back(std::move(fact));
  facts.push_back({"time", format_duration(result.seconds)});
  return facts_text(facts);
}

void save_reference(const std::string& path, Runner& runner, const EvaluationText& text, Session& session) {
  const Tokenizer& tokenizer = runner.checkpoint->tokenizer();
  write_reference(path, *runner.logits, text.windows, tokenizer.hash(), text.sha256, session.context());
}

// --save-ref without --ref: MODEL itself is the reference, and there is nothing to compare yet.
void only_save(const Flags& flags, Session& session) {
  Runner runner = make_runner(Checkpoint::open(flags.model), session);
  const EvaluationText text = cut_evaluation_text(flags.text, *runner.checkpoint, kUsualContext, session);
  save_reference(flags.save_reference, runner, text, session);
  Json record = provenance(text, *runner.checkpoint);
  record["saved"] = flags.save_reference;
  session.show(record, fmt::format("{}: reference of {} tokens written; compare with --ref {}\n", flags.save_reference,
                                   text.windows.scored_tokens, flags.save_reference));
}

void compare(const Flags& flags, Session& session) {
  Runner model = make_runner(Checkpoint::open(flags.model), session);
  const EvaluationText text = cut_evaluation_text(flags.text, *model.checkpoint, kUsualContext, session);
  const Tokenizer& tokenizer = model.checkpoint->tokenizer();
  Runner reference;
  if (is_reference_file(flags.reference)) {
    if (!flags.save_reference.empty()) misuse("--save-ref: {} is a saved reference already", flags.reference);
    reference.logits = open_reference(flags.reference, text.windows, tokenizer.hash(), text.sha256);
  } else {
    reference = make_runner(Checkpoint::open(flags.reference), session);
    check_same_tokens(*model.checkpoint, *reference.checkpoint, text);
    if (!flags.save_reference.empty()) {
      save_reference(flags.save_reference, reference, text, session);
      reference.logits = open_reference(flags.save_reference, text.windows, tokenizer.hash(), text.sha256);
    }
  }
  const DivergenceResult result = divergence(*reference.logits, *model.logits, text.windows, session.context());
  session.show(record_of(result, text, *model.checkpoint, flags.reference),
               text_of(result, text, *model.checkpoint, flags.reference));
}

void evaluate(const Flags& flags, Session& session) {
  if (!flags.reference.empty()) return compare(flags, session);
  if (flags.save_reference.empty()) misuse("eval kl: --ref MODEL or FILE is required, or --save-ref FILE to make one");
  only_save(flags, session);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("--ref", flags->reference, "the original: a model, or a file made by --save-ref")
      ->type_name("MODEL|FILE");
  app.add_option("--save-ref", flags->save_reference, "keep the original's predictions (without --ref: MODEL's)")
      ->type_name("FILE");
  add_text_flags(app, flags->text, kUsualContext);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { evaluate(*flags, session); };
}

}  // namespace

Verb eval_kl_verb() {
  return {"eval kl",
          "how far a model's predictions are from the original's",
          "MODEL --ref MODEL|FILE --text FILE [flags]",
          {"bitloom eval kl /tmp/demo-int4 --ref assets/demo --text assets/demo/evaluation.txt",
           "bitloom eval kl assets/demo --save-ref /tmp/demo.ref --text assets/demo/evaluation.txt"},
          setup};
}

}  // namespace bitloom
