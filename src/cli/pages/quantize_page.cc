#include "cli/pages/quantize_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/text.h"
#include "cli/pages/site_tables.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

constexpr size_t kWorst = 12;  // matrices in the table of the worst

/// Mean and largest of a figure over the sites that have it; the mean by weights.
struct Spread {
  double mean = kUnknown, worst = 0;
  std::string site;
};
Spread spread_of(const std::vector<SiteRecord>& sites, double (*figure)(const SiteRecord&)) {
  Spread spread;
  double sum = 0, weights = 0;
  for (const SiteRecord& site : sites) {
    const double value = figure(site), count = static_cast<double>(site.rows * site.cols);
    if (std::isnan(value)) continue;
    sum += value * count;
    weights += count;
    if (spread.site.empty() || value > spread.worst) spread.worst = value, spread.site = site.name;
  }
  if (weights > 0) spread.mean = sum / weights;
  return spread;
}

/// The error that says most of what was lost: of outputs where it was measured.
bool has_outputs(const QuantizeResult& result) {
  return std::any_of(result.sites.begin(), result.sites.end(), [](const SiteRecord& s) { return s.output_error; });
}

void add_figure(KeyFigures& figures, const Spread& spread, const std::string& label) {
  if (std::isnan(spread.mean)) return;
  figures.figures.push_back(
      {format_significant(spread.mean, 3), label, "worst matrix " + format_significant(spread.worst, 3)});
}

KeyFigures key_figures(const QuantizeResult& result) {
  const double share =
      static_cast<double>(result.bytes) / static_cast<double>(std::max<int64_t>(result.bytes_before, 1));
  KeyFigures figures;
  figures.figures = {
      {human_bytes(result.bytes), "weight files",
       fmt::format("{} of {}", format_percent(share), human_bytes(result.bytes_before))},
      {format_bits(result.bits_true), "true bits per weight of the blocks",
       "nominal " + format_bits(result.bits_nominal)},
      {format_bits(result.bits_model), "bits per weight of the whole model", "all that the weight files hold"}};
  add_figure(figures, spread_of(result.sites, weight_error_of), "weight error, relative squared");
  add_figure(figures, spread_of(result.sites, output_error_of), "output error, relative squared");
  figures.figures.push_back({format_duration(result.seconds), "time", ""});
  return figures;
}

double saturated_share(const SiteRecord& site) {
  if (site.taken_over) return kUnknown;
  return 100 * static_cast<double>(site.saturated) / static_cast<double>(std::max<int64_t>(site.rows * site.cols, 1));
}

/// A line for each of the first sites.
void list_worst(Callout& note, const std::vector<const SiteRecord*>& sites, double (*figure)(const SiteRecord&)) {
  for (const SiteRecord* site : sites) {
    if (note.lines.size() == kWorst) break;
    note.lines.push_back(fmt::format("{}: {}", site->name, format_significant(figure(*site), 3)));
  }
  if (sites.size() > kWorst) note.lines.push_back("and others: see the table of all matrices");
}

std::string matrices_text(size_t count) { return fmt::format("{} {}", count, count == 1 ? "matrix" : "matrices"); }

std::optional<Callout> compensation_note(const std::vector<SiteRecord>& sites) {
  const std::vector<const SiteRecord*> beyond = overcompensated(sites);
  if (beyond.empty()) return std::nullopt;
  Callout note{Callout::Kind::kWarning, compensation_warning(sites), {}};
  list_worst(note, beyond, [](const SiteRecord& site) { return *site.compensation_ratio; });
  return note;
}

/// Matrices whose second moment needed more damping than the least of all.
std::optional<Callout> damping_note(const std::vector<SiteRecord>& sites) {
  std::vector<const SiteRecord*> damped;
  for (const SiteRecord& site : sites)
    if (site.damping) damped.push_back(&site);
  if (damped.empty()) return std::nullopt;
  const auto less = [](const SiteRecord* a, const SiteRecord* b) { return *a->damping < *b->damping; };
  const double least = *(*std::min_element(damped.begin(), damped.end(), less))->damping;
  std::erase_if(damped, [&](const SiteRecord* site) { return *site->damping <= least; });
  if (damped.empty()) return std::nullopt;
  std::stable_sort(damped.begin(), damped.end(), [&](auto* a, auto* b) { return less(b, a); });
  Callout note{Callout::Kind::kWarning, "", {}};
  note.title =
      fmt::format("The damping of {} was raised above {}", matrices_text(damped.size()), format_significant(least, 3));
  list_worst(note, damped, [](const SiteRecord& site) { return *site.damping; });
  return note;
}

Section totals(const QuantizeResult& result) {
  Section section{"What was lost", {key_figures(result)}};
  if (!result.remarks.empty()) section.blocks.push_back(Callout{Callout::Kind::kNote, "Remarks", result.remarks});
  if (auto note = damping_note(result.sites)) section.blocks.push_back(*note);
  if (auto note = compensation_note(result.sites)) section.blocks.push_back(*note);
  section.blocks.push_back(TableBlock{"The blocks and the whole model", size_table(result)});
  section.blocks.push_back(TableBlock{"By scheme", scheme_table(result.sites)});
  std::string text =
      "Errors of weights are squared errors over squared weights. True bits count every byte in the file for a matrix: "
      "codes, scales, zero points.";
  if (has_outputs(result)) {
    text +=
        " Errors of outputs are the same of a layer's outputs, on the calibration tokens: what the layers after it "
        "see.";
  }
  section.blocks.push_back(Paragraph{text});
  return section;
}

Section layers(const QuantizeResult& result) {
  Section section{"Over the depth of the model", {}};
  const auto& sites = result.sites;
  if (spread_of(sites, weight_error_of).site.empty()) {
    section.blocks.push_back(Paragraph{"The matrices were taken over from a quantized source: nothing was measured."});
    return section;
  }
  const bool outputs = has_outputs(result);
  std::vector<SiteFigures> figures = {{"weight error", sites, weight_error_of}};
  if (outputs) figures.push_back({"output error", sites, output_error_of});
  section.blocks.push_back(
      Plot(site_strips({"Error of each matrix",
                        "A row for each kind of layer, from the first block at the left to the last. All rows "
                        "share one logarithmic axis."},
                       "relative squared error", true, figures)));
  if (spread_of(sites, saturated_share).worst > 0) {
    section.blocks.push_back(Plot(site_strips(
        {"Saturated weights", "The share of each matrix's weights that lie beyond the largest level and were clipped."},
        "saturated weights, %", false, {{"saturated", sites, saturated_share}})));
  }
  if (outputs) section.blocks.push_back(TableBlock{"By kind of layer", layer_table(sites)});
  if (const std::string note = rounding_note(sites); outputs && !note.empty()) {
    section.blocks.push_back(Paragraph{fmt::format("In the columns at the right, {}.", note)});
  }
  if (Table experts = expert_table(sites); outputs && experts.rows() > 0) {
    section.blocks.push_back(TableBlock{"Calibration tokens of experts", std::move(experts)});
  }
  return section;
}

Section matrices(const QuantizeResult& result) {
  const auto figure = has_outputs(result) ? output_error_of : weight_error_of;
  std::vector<SiteRecord> worst = result.sites;
  std::erase_if(worst, [&](const SiteRecord& site) { return std::isnan(figure(site)); });
  std::stable_sort(worst.begin(), worst.end(),
                   [&](const SiteRecord& a, const SiteRecord& b) { return figure(a) > figure(b); });
  worst.resize(std::min(worst.size(), kWorst));
  Section section{"Matrices", {}};
  if (!worst.empty()) section.blocks.push_back(TableBlock{"The largest errors", site_table(worst)});
  section.blocks.push_back(
      TableBlock{fmt::format("All {} matrices", result.sites.size()), site_table(result.sites), true});
  return section;
}

/// "model.safetensors (24.1 MiB)" and its hash.
Table file_table(const Json& files) {
  Table table({{"file", Align::kLeft}, {"bytes"}, {"SHA-256", Align::kLeft}});
  for (const auto& [name, file] : files.items()) {
    table.add({name, std::to_string(file.at("bytes").get<int64_t>()), file.at("sha256").get<std::string>()});
  }
  return table;
}

/// Strings and numbers; what is longer is for programs (the record).
Facts plain_facts(const Json& object) {
  Facts facts;
  for (const auto& [key, value] : object.items()) {
    if (value.is_primitive()) facts.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  return facts;
}

void add_times(Section& section, const QuantizeResult& result) {
  if (!result.times) return;
  const WalkTimes& times = *result.times;
  Table table({{"part", Align::kLeft}, {"time"}});
  table.add({"forward passes", format_duration(times.forward)});
  table.add({"statistics", format_duration(times.statistics)});
  table.add({"rewrites", format_duration(times.scaling)});
  table.add({"rounding", format_duration(times.rounding)});
  if (times.tuning > 0) table.add({"tuning", format_duration(times.tuning)});
  section.blocks.push_back(TableBlock{"Where the time went", table});
}

Section provenance(const QuantizeResult& result, const Recipe& recipe, const Json& manifest) {
  Section section{"Provenance", {}};
  const Json& source = manifest.at("source");
  section.blocks.push_back(
      FactList{{{"source", source.at("name").get<std::string>() + " (" + source.at("kind").get<std::string>() + ")"},
                {"made by", "bitloom " + manifest.at("bitloom").get<std::string>()}}});
  section.blocks.push_back(CodeBlock{"Recipe", to_yaml(recipe)});
  if (manifest.contains("calibration")) {
    section.blocks.push_back(Subtitle{"Calibration"});
    section.blocks.push_back(FactList{plain_facts(manifest.at("calibration"))});
  }
  add_times(section, result);
  section.blocks.push_back(TableBlock{"Files of the source", file_table(source.at("files"))});
  section.blocks.push_back(TableBlock{"Files of the result", file_table(manifest.at("files"))});
  return section;
}

}  // namespace

Page quantize_page(const std::string& out, const QuantizeResult& result, const Recipe& recipe, const Json& manifest,
                   const Json& record) {
  Page page;
  page.title = out;
  page.summary = fmt::format("{}, quantized by the recipe {}: what became of its {} matrices.",
                             manifest.at("source").at("name").get<std::string>(), recipe.name, result.sites.size());
  page.sections = {totals(result), layers(result), matrices(result), provenance(result, recipe, manifest)};
  page.record = dump_json(record);
  return page;
}

}  // namespace bitloom
