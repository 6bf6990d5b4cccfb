#include "cli/pages/compare_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/pages/site_tables.h"
#include "pipeline/output/manifest.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

const std::vector<double> kSteps = {0.001, 0.01, 0.1, 0.3, 1, 3};  // nats, limits of colours: the same on every page
constexpr const char* kKl = "KL divergence, nats";
constexpr const char* kSize = "MiB of the whole model";

double mib_of(const ComparedModel& model) { return static_cast<double>(model.size.bytes) / (1024.0 * 1024.0); }

bool judged_by_kl(const ComparedModel& model) { return model.kl.has_value(); }

std::string reference_name(const ComparePlan& plan, const Comparison& comparison) {
  return comparison.has_reference_model ? comparison.models.front().name : base_name(plan.reference);
}

Plot cost_plot(const Comparison& comparison) {
  ScatterPlot plot;
  plot.caption = {"What the bytes buy",
                  "Each model's mean KL divergence from the original over the bytes of its weight files, with "
                  "95 % intervals. No model is better in both than those on the line."};
  plot.x = {.title = kSize};
  plot.y = {.title = kKl, .logarithmic = true};
  plot.pareto = true;
  for (const ComparedModel& model : comparison.models)
    if (model.kl)
      plot.points.push_back({model.name, mib_of(model), {model.kl->kl_mean, model.kl->kl_low, model.kl->kl_high}});
  return plot;
}

Plot bytes_plot(const Comparison& comparison) {
  ScatterPlot plot;
  plot.caption = {"What the bytes buy",
                  "Bits that each model needs for a byte of the text, over the bytes of its weight files. No model is "
                  "better in both than those on the line."};
  plot.x = {.title = kSize};
  plot.y = {.title = "bits per byte"};
  plot.pareto = true;
  for (const ComparedModel& model : comparison.models)
    plot.points.push_back({model.name, mib_of(model), {.value = model.perplexity.bits_per_byte}});
  return plot;
}

Section overview(const ComparePlan& plan, const Comparison& comparison) {
  Section section{"All models", {}};
  section.blocks.push_back(TableBlock{"On the same text", compare_table(comparison, plan.per_byte)});
  for (const std::string& note : compare_notes(plan, comparison)) section.blocks.push_back(Paragraph{note});
  section.blocks.push_back(plan.per_byte ? bytes_plot(comparison) : cost_plot(comparison));
  return section;
}

/// Shares of right answers as bars; every figure in the table.
std::optional<Section> skills(const Comparison& comparison) {
  const std::vector<Skill>& first = comparison.models.front().skills;
  if (first.empty()) return std::nullopt;
  BarPlot plot;
  plot.caption = {"Right answers", "Share of items that each model has right, with 95 % intervals."};
  plot.category_title = "task and metric";
  plot.value = {.title = "share right"};
  for (const Skill& skill : first)
    if (skill.right_or_wrong) plot.categories.push_back(skill.task + " " + skill.metric);
  for (const ComparedModel& model : comparison.models) {
    BarSeries series{model.name, {}};
    for (const Skill& skill : model.skills) {
      if (!skill.right_or_wrong) continue;
      const double half = 1.96 * skill.standard_error;
      series.values.push_back({skill.value, std::max(0.0, skill.value - half), std::min(1.0, skill.value + half)});
    }
    plot.series.push_back(series);
  }
  Section section{"Tasks", {}};
  if (!plot.categories.empty()) section.blocks.push_back(Plot(plot));
  section.blocks.push_back(TableBlock{"Against the original, on the same items", skill_table(comparison)});
  return section;
}

Section positions(const Comparison& comparison) {
  LinePlot plot;
  plot.caption = {"KL by place in the window",
                  "Mean over all windows of the KL divergence at a place, with 95 % intervals. Early tokens are "
                  "predicted from little context."};
  plot.x = {.title = "place in the window, tokens"};
  plot.y = {.title = kKl, .logarithmic = true};
  for (const ComparedModel& model : comparison.models) {
    if (!model.kl) continue;
    Curve curve{model.name, {}, {}};
    for (const PositionBin& bin : model.by_position) {
      curve.x.push_back(static_cast<double>(bin.first + bin.last) / 2);
      curve.y.push_back({bin.kl.mean, bin.kl.low, bin.kl.high});
    }
    plot.curves.push_back(curve);
  }
  return {"Over the window", {Plot(plot)}};
}

/// The quantized matrices that a model's manifest tells of.
std::vector<SiteRecord> sites_of(const ComparedModel& model) {
  std::vector<SiteRecord> sites;
  if (!model.manifest.is_object()) return sites;
  const Json tensors = model.manifest.value("tensors", Json::object());
  for (const auto& [name, tensor] : tensors.items()) {
    Json named = tensor;
    named["name"] = name;
    sites.push_back(site_from_json(named));
  }
  return sites;
}

std::optional<Section> layers(const Comparison& comparison) {
  std::vector<std::vector<SiteRecord>> sites;
  for (const ComparedModel& model : comparison.models) sites.push_back(sites_of(model));
  std::vector<SiteFigures> weights, outputs;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (sites[i].empty()) continue;
    weights.push_back({comparison.models[i].name, sites[i], weight_error_of});
    if (std::any_of(sites[i].begin(), sites[i].end(), [](const SiteRecord& site) { return site.output_error; }))
      outputs.push_back({comparison.models[i].name, sites[i], output_error_of});
  }
  if (weights.empty()) return std::nullopt;
  Section section{"Over the depth of the model", {}};
  section.blocks.push_back(Plot(
      site_strips({"Error of the weights",
                   "Squared error over squared weights of each matrix, from the first block at the left to the last. "
                   "Models made by bitloom tell it; others do not."},
                  "relative squared error", true, weights)));
  if (!outputs.empty())
    section.blocks.push_back(Plot(site_strips({"Error of the outputs",
                                               "Squared error over squared outputs of each matrix on the calibration "
                                               "text, for models whose recipe looked at data."},
                                              "relative squared error", true, outputs)));
  return section;
}

/// Tokens as text. Of a passage's tokens that share a character the last shows it; a choice that is part of a character
/// shows as the replacement character.
class Reader {
 public:
  explicit Reader(const Comparison& comparison)
      : tokenizer_(comparison.reader->tokenizer()), windows_(comparison.text.windows.windows) {}

  std::string text_of(int32_t token, std::span<const int32_t> before) const {
    Tokenizer::Stream stream(tokenizer_, false, before);
    const std::string text = stream.push(token);
    return text + stream.finish();
  }

  Passage passage(const JudgedSpan& judged) const {
    Passage out;
    const std::vector<int32_t>& tokens = windows_[static_cast<size_t>(judged.span.window)].tokens;
    const std::vector<std::string> texts = texts_of(tokens, static_cast<size_t>(judged.span.first), judged.rows.size());
    for (size_t i = 0; i < judged.rows.size(); ++i) {
      const size_t place = static_cast<size_t>(judged.span.first) + i;
      const std::span<const int32_t> before = std::span(tokens).subspan(place - 1, 1);
      const RowDivergence& row = judged.rows[i];
      out.tokens.push_back({texts[i], row.kl, choices(row.p, before), choices(row.q, before)});
    }
    return out;
  }

 private:
  static constexpr std::string_view kReplacement = "\uFFFD";
  static constexpr size_t kParts = 3;  // a character has at most this many tokens besides the one that completes it

  /// Texts of `count` tokens from `first` on, characters whole at both ends.
  std::vector<std::string> texts_of(std::span<const int32_t> tokens, size_t first, size_t count) const {
    const size_t begin = first - std::min(first, kParts);
    const size_t end = first + count;
    Tokenizer::Stream stream(tokenizer_, false, tokens.first(begin));
    std::vector<std::string> texts;
    for (size_t i = begin; i < end; ++i) {
      std::string text = stream.push(tokens[i]);
      if (i >= first) texts.push_back(std::move(text));
    }
    // A window may begin inside a character, whose rest then has no text.
    for (size_t i = 0; i < std::min(kParts, texts.size()) && first <= kParts; ++i) {
      while (texts[i].starts_with(kReplacement)) texts[i].erase(0, kReplacement.size());
      if (!texts[i].empty()) break;
    }
    if (texts.empty() || !texts.back().empty()) return texts;
    for (size_t i = end; i < std::min(end + kParts, tokens.size()) && texts.back().empty(); ++i) {
      const std::string text = stream.push(tokens[i]);
      size_t character = std::min<size_t>(1, text.size());
      while (character < text.size() && (static_cast<unsigned char>(text[character]) & 0xC0) == 0x80) ++character;
      texts.back() = text.substr(0, character);
    }
    return texts;
  }

  std::vector<TokenChoice> choices(const Candidates& candidates, std::span<const int32_t> before) const {
    std::vector<TokenChoice> out;
    for (const Candidate& candidate : candidates)
      if (candidate.token >= 0)
        out.push_back({text_of(candidate.token, before), std::exp(static_cast<double>(candidate.log_p))});
    return out;
  }

  const Tokenizer& tokenizer_;
  const std::vector<TextWindows::Window>& windows_;
};

Passage passage_of(const Reader& reader, const JudgedSpan& judged, const std::string& reference,
                   const ComparedModel& model) {
  Passage passage = reader.passage(judged);
  passage.value_title = kKl;
  passage.reference = reference;
  passage.model = model.name;
  passage.steps = kSteps;
  return passage;
}

Section openings(const Comparison& comparison, const Reader& reader, const std::string& reference) {
  Section section{"The same passage", {}};
  section.blocks.push_back(Paragraph{
      "The first scored tokens of the text, coloured by how far each model's prediction of the token is from the "
      "original's. Point at a token, or walk through them with the arrow keys, to see what either expected."});
  for (const ComparedModel& model : comparison.models) {
    if (!model.kl) continue;
    Passage passage = passage_of(reader, model.opening, reference, model);
    passage.title = model.name;
    passage.text = fmt::format("Mean of these {} tokens: {} nats.", passage.tokens.size(),
                               format_significant(model.opening.span.kl, 3));
    section.blocks.push_back(passage);
  }
  return section;
}

Section worst(const Comparison& comparison, const Reader& reader, const std::string& reference) {
  Section section{"Worst passages", {}};
  section.blocks.push_back(Paragraph{"Of each model the passages with the highest mean KL divergence."});
  for (const ComparedModel& model : comparison.models) {
    if (!model.kl) continue;
    section.blocks.push_back(Subtitle{model.name});
    for (const JudgedSpan& judged : model.worst) {
      Passage passage = passage_of(reader, judged, reference, model);
      passage.title = fmt::format("{}: {} nats, window {} from token {}", model.name,
                                  format_significant(judged.span.kl, 3), judged.span.window + 1, judged.span.first);
      passage.folded = &judged != &model.worst.front();
      section.blocks.push_back(passage);
    }
  }
  return section;
}

Section provenance_section(const ComparePlan& plan, const Comparison& comparison) {
  Facts facts;
  if (!plan.reference.empty()) facts.push_back({"original", plan.reference});
  for (auto& fact : provenance_facts(comparison.text, *comparison.reader))
    if (fact.first != "model") facts.push_back(std::move(fact));
  Table table({{"model", Align::kLeft}, {"path", Align::kLeft}, {"recipe", Align::kLeft}});
  for (const ComparedModel& model : comparison.models) {
    const Json recipe = model.manifest.is_object() ? model.manifest.value("recipe", Json::object()) : Json::object();
    table.add({model.name, model.path, recipe.value("name", "-")});
  }
  return {"Provenance", {FactList{facts}, TableBlock{"Models", table}}};
}

}  // namespace

Page compare_page(const ComparePlan& plan, const Comparison& comparison, const Json& record) {
  Page page;
  const auto judged = std::count_if(comparison.models.begin(), comparison.models.end(), judged_by_kl);
  page.sections.push_back(overview(plan, comparison));
  if (auto section = skills(comparison)) page.sections.push_back(*section);
  if (plan.per_byte) {
    page.title = fmt::format("{} models on {}", comparison.models.size(), comparison.text.file);
    page.summary = "Models of different tokenizers, by the bits that they need for a byte of the text.";
  } else {
    const std::string reference = reference_name(plan, comparison);
    page.title = fmt::format("{} against {}",
                             judged == 1 ? comparison.models.back().name : fmt::format("{} models", judged), reference);
    page.summary = fmt::format("{} {} compared with {} on {} tokens of {}.", judged, judged == 1 ? "model" : "models",
                               reference, comparison.text.windows.scored_tokens, comparison.text.file);
    page.sections.push_back(positions(comparison));
    if (auto section = layers(comparison)) page.sections.push_back(*section);
    const Reader reader(comparison);
    page.sections.push_back(openings(comparison, reader, reference));
    page.sections.push_back(worst(comparison, reader, reference));
  }
  page.sections.push_back(provenance_section(plan, comparison));
  page.record = record.dump(2, ' ', false, Json::error_handler_t::replace);
  return page;
}

}  // namespace bitloom
