#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "cli/flags/common_flags.h"
#include "cli/pages/page_file.h"
#include "cli/verb.h"
#include "judge/pareto.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::vector<std::string> files;
  ParetoCost cost;
  std::string accumulator = "exact", quality = "kl_mean", page;
};

std::string check_cost(const std::string& text) {
  return text == "lut" || text == "gates" || text == "bytes"
             ? ""
             : fmt::format("'{}' is no cost; there are: lut, gates, bytes", text);
}

/// Labels that an earlier file took begin with the name of their file.
std::vector<ResultRow> read_rows(const std::vector<std::string>& files) {
  std::vector<ResultRow> rows;
  std::set<std::string> taken;
  for (const std::string& file : files) {
    std::vector<ResultRow> of_file = read_result_rows(read_json(file), file);
    const std::string stem = std::filesystem::path(file).stem().string();
    for (ResultRow& row : of_file)
      if (taken.contains(row.label)) row.label = stem + " " + row.label;
    for (ResultRow& row : of_file) {
      taken.insert(row.label);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string cost_text(const ParetoCost& cost, double value) {
  return cost.name == "bytes" ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}", value);
}

Table table_of(const ParetoSet& set, const Quality& quality, const ParetoCost& cost) {
  Table table({{"model", Align::kLeft},
               {"activations", Align::kLeft},
               {title_of(cost)},
               {quality.title},
               {"front", Align::kLeft}});
  for (const ParetoPoint& point : set.points)
    table.add({visible_text(point.label), point.activations.empty() ? "-" : visible_text(point.activations),
               cost_text(cost, point.cost), format_interval(point.quality.value, point.quality.low, point.quality.high),
               point.front ? "*" : ""});
  return table;
}

std::vector<std::string> notes_of(const ParetoSet& set, const ParetoCost& cost) {
  std::vector<std::string> notes = {"No model is better in both than those with a star."};
  if (cost.name != "bytes") {
    const CostModel& model = cost.name == "lut" ? lut_model() : gate_model();
    const auto fitted =
        std::count_if(model.figures.begin(), model.figures.end(), [](const CostFigure& f) { return f.fitted; });
    notes.push_back(fmt::format(
        "{}: our fit to {} published figures, off by {} (root mean square), at most {}; sums {}, dot products of {}.",
        model.unit, fitted, format_percent(model.spread()), format_percent(model.worst()), name_of(cost.accumulator),
        cost.dot));
  }
  for (const LeftOut& row : set.left_out)
    notes.push_back(visible_text(fmt::format("left out: {}: {}", row.label, row.reason)));
  return notes;
}

Json record_of(const ParetoSet& set, const Quality& quality, const ParetoCost& cost) {
  Json points = Json::array(), left_out = Json::array();
  for (const ParetoPoint& point : set.points) {
    Json json = {
        {"model", point.label}, {"cost", point.cost}, {"quality", point.quality.value}, {"front", point.front}};
    if (!point.activations.empty()) json["activations"] = point.activations;
    if (std::isfinite(point.quality.low) && std::isfinite(point.quality.high))
      json["quality_ci95"] = {point.quality.low, point.quality.high};
    points.push_back(std::move(json));
  }
  for (const LeftOut& row : set.left_out) left_out.push_back({{"model", row.label}, {"reason", row.reason}});
  Json record = {{"cost", cost.name},
                 {"cost_title", title_of(cost)},
                 {"quality", quality.key},
                 {"points", std::move(points)},
                 {"left_out", std::move(left_out)}};
  if (cost.name == "bytes") return record;
  record["accumulator"] = name_of(cost.accumulator);
  record["dot"] = cost.dot;
  record["misfit_rms"] = (cost.name == "lut" ? lut_model() : gate_model()).spread();
  return record;
}

Plot plot_of(const ParetoSet& set, const Quality& quality, const ParetoCost& cost) {
  ScatterPlot plot;
  plot.caption = {"Quality against cost",
                  "Each point is a model. No model is better in both than those that the line joins."};
  plot.x = {.title = title_of(cost)};
  plot.y = {.title = quality.title, .logarithmic = quality.key == "kl_mean"};
  plot.pareto = true;
  for (const ParetoPoint& point : set.points) plot.points.push_back({point.label, point.cost, point.quality});
  return plot;
}

Page page_of(const ParetoSet& set, const Quality& quality, const ParetoCost& cost, const Json& record) {
  Section section{"Front", {plot_of(set, quality, cost), TableBlock{"All models", table_of(set, quality, cost)}}};
  for (const std::string& note : notes_of(set, cost)) section.blocks.push_back(Paragraph{note});
  Page page;
  page.title = "Quality against cost";
  page.summary = fmt::format("{} over {}.", quality.title, title_of(cost));
  page.sections = {std::move(section)};
  page.record = json_text(record);
  return page;
}

void pareto(Flags& flags, Session& session) {
  const Quality quality = quality_named(flags.quality, "pareto: --quality");
  flags.cost.accumulator = parse_accumulator(flags.accumulator, "pareto: --acc");
  parse_activations(flags.cost.activations, "pareto: --acts");
  if (!flags.page.empty()) check_page_file(flags.page);
  const ParetoSet set = pareto_set(read_rows(flags.files), quality, flags.cost);
  if (set.points.empty()) {
    const std::string first =
        set.left_out.empty() ? ""
                             : visible_text(fmt::format("; {}: {}", set.left_out[0].label, set.left_out[0].reason));
    refuse("pareto: no model of {} has both {} and a cost{}", fmt::join(flags.files, ", "), quality.key, first);
  }
  const Json record = record_of(set, quality, flags.cost);
  std::string text = table_of(set, quality, flags.cost).to_text(session.bold()) + "\n";
  for (const std::string& note : notes_of(set, flags.cost)) text += note + "\n";
  if (!flags.page.empty()) {
    write_page(flags.page, page_of(set, quality, flags.cost, record));
    text += fmt::format("page: {}\n", flags.page);
  }
  session.show(record, text);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  app.add_option("RESULT", flags->files, "what compare --json wrote, or a suite's results.json")
      ->type_name("RESULT.json...")
      ->required();
  app.add_option("--cost", flags->cost.name, "bytes of the weight files, or a unit's lut or gates (bitloom cost)")
      ->type_name("bytes|lut|gates")
      ->check(check_cost)
      ->capture_default_str();
  app.add_option("--quality", flags->quality, "kl_mean, ppl, nll or bits_per_byte")
      ->type_name("KEY")
      ->capture_default_str();
  app.add_option("--acts", flags->cost.activations, "activations of models whose inputs are not rounded")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--acc", flags->accumulator, "what adds the products up: exact, fp32 or fp16")
      ->type_name("SUMS")
      ->capture_default_str();
  app.add_option("--dot", flags->cost.dot, "products in a dot product")
      ->type_name("N")
      ->check(integer_in(1, int64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--html", flags->page, "write a page with the plot")->type_name("FILE");
  add_json_flag(app, session);
  return [flags, &session] { pareto(*flags, session); };
}

}  // namespace

Verb pareto_verb() {
  return {"pareto",
          "quality against cost of many results: the models that no other beats",
          "RESULT.json... [flags]",
          {"bitloom pareto results.json --cost bytes --html front.html",
           "bitloom pareto compare.json --cost lut --acts int8 --quality ppl"},
          setup};
}

}  // namespace bitloom
