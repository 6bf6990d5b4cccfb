#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "cli/flags/adapter_flag.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/text_flags.h"
#include "cli/verb.h"
#include "eval/divergence.h"
#include "judge/runner.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualContext = 512;

struct Flags {
  std::string model, reference, save_reference, reference_size;
  AdapterFlag adapter;
  TextOptions text;
  bool fast = false;
  KvFlag kv;
};

Json record_of(const DivergenceResult& result, const EvaluationText& text, const Checkpoint& model,
               const std::string& reference) {
  Json record = provenance(text, model);
  record["ref"] = reference;
  record.update(kl_figures(result));
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
  if (result.kl_error > 0)
    facts.insert(facts.begin() + 1,
                 {"error of the sketch",
                  fmt::format("± {} in the mean ({} standard errors), ± {} in the maximum; the mean is not below {}",
                              kl(kSketchErrors * result.kl_error), kSketchErrors,
                              kl(kSketchErrors * result.kl_max_error), kl(result.kl_certain))});
  for (auto& fact : provenance_facts(text, model)) facts.push_back(std::move(fact));
  facts.push_back({"time", format_duration(result.seconds)});
  return facts_text(facts);
}

ReferenceHeader save_reference(const Flags& flags, const Runner& runner, const EvaluationText& text, Session& session) {
  const int64_t budget = flags.reference_size.empty() ? 0 : parse_bytes(flags.reference_size, "--ref-size");
  return write_reference(flags.save_reference, *runner.logits, text.windows, runner.checkpoint->tokenizer().hash(),
                         text.sha256, session.context(), static_cast<uint64_t>(budget));
}

// What was written, and how it compares with two bytes for each token of the vocabulary at each position.
std::string saved_text(const std::string& path, const ReferenceHeader& header) {
  const double full = 2.0 * static_cast<double>(header.vocab) * static_cast<double>(header.rows);
  std::string text = fmt::format("{}: reference of {} tokens written, {} MiB", path, header.rows,
                                 format_mib(static_cast<int64_t>(header.file_bytes())));
  if (header.is_compact())
    text += fmt::format(" ({} entries of {} at each position, {} times less than 2 bytes for all)", header.entries,
                        header.vocab, format_significant(full / static_cast<double>(header.file_bytes()), 3));
  return text + fmt::format("\ncompare with --ref {}{}\n", path,
                            header.is_compact() ? ", which says how large the error of its KL can be" : "");
}

// --save-ref without --ref: MODEL itself is the reference, and there is nothing to compare yet.
void only_save(const Flags& flags, Session& session) {
  const Runner runner = make_runner(open_model(flags.model, flags.adapter, session), session.context().threads);
  const EvaluationText text = cut_evaluation_text(flags.text, *runner.checkpoint, kUsualContext, session.warner());
  const ReferenceHeader header = save_reference(flags, runner, text, session);
  Json record = provenance(text, *runner.checkpoint);
  record["saved"] = flags.save_reference;
  record["saved_bytes"] = header.file_bytes();
  record["entries"] = header.is_compact() ? header.entries : header.vocab;
  session.show(flags.adapter.noted(record), saved_text(flags.save_reference, header));
}

void compare(const Flags& flags, Session& session) {
  const Runner model = make_runner(open_model(flags.model, flags.adapter, session), session.context().threads,
                                   flags.fast ? Activations::kInt8 : Activations::kExact, flags.kv.format());
  const EvaluationText text = cut_evaluation_text(flags.text, *model.checkpoint, kUsualContext, session.warner());
  const std::string tokenizer = model.checkpoint->tokenizer().hash();
  Runner original;
  std::unique_ptr<ReferenceRows> reference;
  if (is_reference_file(flags.reference)) {
    if (!flags.save_reference.empty()) misuse("--save-ref: {} is a saved reference already", flags.reference);
    reference = open_reference_rows(flags.reference, text.windows, tokenizer, text.sha256);
  } else {
    original = make_runner(Checkpoint::open(flags.reference, session.warner()), session.context().threads);
    const std::string mismatch = token_mismatch(*model.checkpoint, *original.checkpoint, text);
    if (!mismatch.empty()) refuse("{}", mismatch);
    if (flags.save_reference.empty()) {
      reference = rows_of(*original.logits);
    } else {
      save_reference(flags, original, text, session);
      reference = open_reference_rows(flags.save_reference, text.windows, tokenizer, text.sha256);
    }
  }
  const DivergenceResult result = divergence(*reference, *model.logits, text.windows, session.context());
  session.show(flags.adapter.noted(record_of(result, text, *model.checkpoint, flags.reference)),
               text_of(result, text, *model.checkpoint, flags.reference));
}

void evaluate(const Flags& flags, Session& session) {
  if (flags.save_reference.empty() && !flags.reference_size.empty())
    misuse("--ref-size: is of the file that --save-ref names");
  if (!flags.reference.empty()) return compare(flags, session);
  if (flags.save_reference.empty()) misuse("eval kl: --ref MODEL or FILE is required, or --save-ref FILE to make one");
  only_save(flags, session);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  add_adapter_flag(app, flags->adapter);
  app.add_option("--ref", flags->reference, "the original: a model, or a file made by --save-ref")
      ->type_name("MODEL|FILE");
  app.add_option("--save-ref", flags->save_reference, "keep the original's predictions (without --ref: MODEL's)")
      ->type_name("FILE");
  app.add_option("--ref-size", flags->reference_size, "keep it within so many bytes (64M), as sketches of known error")
      ->type_name("BYTES");
  add_text_flags(app, flags->text, kUsualContext);
  add_fast_flag(app, flags->fast);
  add_kv_flag(app, flags->kv);
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
           "bitloom eval kl assets/demo --save-ref /tmp/d.ref --ref-size 8M --text assets/demo/evaluation.txt"},
          setup};
}

}  // namespace bitloom
