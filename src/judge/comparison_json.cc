#include "judge/comparison.h"

#include <span>

namespace bitloom {
namespace {

/// The text of the span's tokens.
std::string text_of(const TokenSpan& span, const Comparison& comparison) {
  const std::vector<int32_t>& tokens = comparison.text.windows.windows[static_cast<size_t>(span.window)].tokens;
  return comparison.reader->tokenizer().decode(
      std::span(tokens).subspan(static_cast<size_t>(span.first), static_cast<size_t>(span.count)), false);
}

Json kl_of(const ComparedModel& model, const Comparison& comparison) {
  Json out = kl_figures(*model.kl);
  out["kl_interval"] = model.kl->interval;
  out["kl_by_position"] = Json::array();
  for (const PositionBin& bin : model.by_position)
    out["kl_by_position"].push_back(
        {{"first", bin.first}, {"last", bin.last}, {"kl_mean", bin.kl.mean}, {"kl_ci95", {bin.kl.low, bin.kl.high}}});
  out["worst"] = Json::array();
  for (const JudgedSpan& worst : model.worst)
    out["worst"].push_back({{"window", worst.span.window},
                            {"first", worst.span.first},
                            {"tokens", worst.span.count},
                            {"kl_mean", worst.span.kl},
                            {"text", text_of(worst.span, comparison)}});
  return out;
}

Json skills_of(const ComparedModel& model, const Comparison& comparison) {
  Json out = Json::array();
  for (size_t i = 0; i < model.skills.size(); ++i) {
    const Skill& skill = model.skills[i];
    Json entry = {{"task", skill.task},
                  {"metric", skill.metric},
                  {"value", skill.value},
                  {"stderr", skill.standard_error},
                  {"items", skill.items.size()}};
    if (const Skill* reference = reference_skill(comparison, model, i)) {
      const PairedSkill paired = pair_skills(*reference, skill);
      entry["difference"] = paired.difference.mean;
      entry["difference_stderr"] = paired.difference.standard_error;
      entry["difference_ci95"] = {paired.difference.low, paired.difference.high};
      if (paired.answers) {
        entry["lost"] = paired.answers->only_reference;
        entry["won"] = paired.answers->only_model;
        entry["p_value"] = paired.answers->p_value;
      }
    }
    out.push_back(entry);
  }
  return out;
}

Json record_of(const ComparedModel& model, const Comparison& comparison) {
  const PerplexityResult& result = model.perplexity;
  Json out = {{"model", model.path},
              {"name", model.name},
              {"format", model.size.format},
              {"bits_nominal", model.size.bits_nominal},
              {"bits_true", model.size.bits_true},
              {"bits_model", model.size.bits_model},
              {"bytes", model.size.bytes},
              {"ppl", result.perplexity},
              {"ppl_ci95", {result.perplexity_low, result.perplexity_high}},
              {"ppl_interval", result.interval},
              {"nll", result.nll},
              {"tokens", result.tokens},
              {"tokens_per_second", model.tokens_per_second}};
  if (result.bits_per_byte > 0) out["bits_per_byte"] = result.bits_per_byte;
  if (!model.size.activations.empty()) out["activations"] = model.size.activations;
  if (!model.size.attention.empty()) out["attention"] = model.size.attention;
  if (model.calibrated_on) out["calibrated_on_share"] = *model.calibrated_on;
  if (!model.skills.empty()) out["tasks"] = skills_of(model, comparison);
  if (model.kl) out.update(kl_of(model, comparison));
  return out;
}

}  // namespace

Json to_json(const ComparePlan& plan, const Comparison& comparison) {
  Json out = provenance(comparison.text, *comparison.reader);
  for (const char* key : {"model", "calibrated_on_share"}) out.erase(key);
  if (plan.per_byte)  // each model has its own
    for (const char* key : {"tokenizer", "tokenizer_sha256", "tokens", "text_tokens", "windows"}) out.erase(key);
  if (!plan.reference.empty()) out["ref"] = plan.reference;
  out["models"] = Json::array();
  for (const ComparedModel& model : comparison.models) out["models"].push_back(record_of(model, comparison));
  return out;
}

}  // namespace bitloom
