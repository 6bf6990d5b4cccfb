#include <fmt/format.h>

#include <algorithm>

#include "cli/pages/compare_page.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

std::string or_dash(bool known, const std::string& text) { return known ? text : "-"; }

std::string kl_text(double value) { return format_significant(value, 3); }

/// Bits per byte with its interval, which is that of nll.
std::string bits_per_byte(const PerplexityResult& result) {
  const double scale = result.bits_per_byte / result.nll;
  return format_interval(result.bits_per_byte, scale * std::log(result.perplexity_low),
                         scale * std::log(result.perplexity_high));
}

/// All its digits, which differences between models need: the interval is of the text, and the same text's for all.
std::string perplexity_text(const PerplexityResult& result) {
  return fmt::format("{} ± {}", format_perplexity(result.perplexity),
                     format_significant((result.perplexity_high - result.perplexity_low) / 2, 2));
}

std::string sketch_note(const ComparePlan& plan, const Comparison& comparison) {
  double largest = 0;
  for (const ComparedModel& model : comparison.models)
    if (model.kl) largest = std::max(largest, kSketchErrors * model.kl->kl_error);
  if (largest == 0) return "";
  return fmt::format("{} is a sketch: it leaves an error of at most ± {} ({} standard errors) in a mean KL",
                     plan.reference, kl_text(largest), kSketchErrors);
}

}  // namespace

Table compare_table(const Comparison& comparison, bool per_byte) {
  std::vector<Column> columns = {{"model", Align::kLeft}, {"format", Align::kLeft}, {"bits nominal"},
                                 {"bits true"},           {"model bits"},           {"MiB"},
                                 {"perplexity"}};
  const std::vector<Column> kl_columns = {{"KL to original"}, {"99.9 %"}, {"max"}, {"same top-1"}};
  if (per_byte) columns.push_back({"bits per byte"});
  if (!per_byte) columns.insert(columns.end(), kl_columns.begin(), kl_columns.end());
  columns.push_back({"tokens/s"});
  Table table(columns);
  for (const ComparedModel& model : comparison.models) {
    const PerplexityResult& result = model.perplexity;
    std::vector<std::string> cells = {model.name,
                                      format_text(model.size),
                                      format_bits(model.size.bits_nominal),
                                      format_bits(model.size.bits_true),
                                      format_bits(model.size.bits_model),
                                      format_mib(model.size.bytes),
                                      perplexity_text(result)};
    if (per_byte) {
      cells.push_back(bits_per_byte(result));
    } else {
      const DivergenceResult kl = model.kl.value_or(DivergenceResult());
      cells.insert(cells.end(), {or_dash(model.kl.has_value(), format_interval(kl.kl_mean, kl.kl_low, kl.kl_high)),
                                 or_dash(model.kl.has_value(), kl_text(kl.kl_p999)),
                                 or_dash(model.kl.has_value(), kl_text(kl.kl_max)),
                                 or_dash(model.kl.has_value(), format_percent(kl.top1))});
    }
    cells.push_back(or_dash(model.tokens_per_second > 0, format_rate(model.tokens_per_second)));
    table.add(cells);
  }
  return table;
}

Table skill_table(const Comparison& comparison) {
  Table table({{"task", Align::kLeft},
               {"metric", Align::kLeft},
               {"model", Align::kLeft},
               {"value"},
               {"stderr"},
               {"items"},
               {"difference"},
               {"lost"},
               {"won"},
               {"p"}});
  for (size_t i = 0; i < comparison.models.front().skills.size(); ++i) {
    for (const ComparedModel& model : comparison.models) {
      const Skill& skill = model.skills[i];
      const bool single = !std::isfinite(skill.standard_error);
      std::vector<std::string> cells = {skill.task,
                                        skill.metric,
                                        model.name,
                                        fmt::format("{:.4f}", skill.value),
                                        or_dash(!single, fmt::format("{:.4f}", skill.standard_error)),
                                        std::to_string(skill.items.size())};
      if (const Skill* reference = reference_skill(comparison, model, i)) {
        const PairedSkill paired = pair_skills(*reference, skill);
        const McNemar answers = paired.answers.value_or(McNemar());
        const double half = (paired.difference.high - paired.difference.low) / 2;
        cells.push_back(fmt::format("{:+.4f} ± {:.4f}", paired.difference.mean, half));
        cells.push_back(or_dash(paired.answers.has_value(), std::to_string(answers.only_reference)));
        cells.push_back(or_dash(paired.answers.has_value(), std::to_string(answers.only_model)));
        cells.push_back(or_dash(paired.answers.has_value(), format_significant(answers.p_value, 2)));
      } else {
        cells.insert(cells.end(), 4, "-");
      }
      table.add(cells);
    }
  }
  return table;
}

std::vector<std::string> compare_notes(const ComparePlan& plan, const Comparison& comparison) {
  std::vector<std::string> notes = {
      "Bits nominal and true are per weight of the blocks' matrices; model bits and MiB are of the weight files: "
      "embedding, head and norms included."};
  const ComparedModel& last = comparison.models.back();
  if (last.kl)
    notes.push_back("KL in nats per token; ± is half a 95 % interval (" + last.kl->interval +
                    "); tokens/s of one stream.");
  else
    notes.push_back("± is half a 95 % interval (" + last.perplexity.interval + "); tokens/s of one stream.");
  if (const std::string note = sketch_note(plan, comparison); !note.empty()) notes.push_back(note + ".");
  if (!last.skills.empty() && comparison.has_reference_model)
    notes.push_back(
        "Of tasks: difference to the original on the same items with its 95 % interval (perplexity: of the mean "
        "log-likelihood); lost and won: items that one of the two alone has right; p: McNemar's exact test of these.");
  for (const ComparedModel& model : comparison.models)
    if (model.calibrated_on && *model.calibrated_on > 0.005)
      notes.push_back(fmt::format("{} was calibrated on about {} of this text: its figures flatter it.", model.name,
                                  format_percent(*model.calibrated_on)));
  return notes;
}

}  // namespace bitloom
