#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "hardware/accumulator.h"
#include "hardware/cost_model.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string weights, acts, accumulator = "exact";
  int64_t dot = 4096;
  bool figures = false;
};

/// What is asked about, and what follows of it.
struct Unit {
  Operand weights, acts;
  Accumulator accumulator = Accumulator::kExact;
  int64_t dot = 0, terms = 0;  // terms: of one accumulator
  int product = 0, exact = 0, published = 0;
};

Unit unit_of(const Flags& flags) {
  Unit unit{parse_weights(flags.weights, "cost: --weights"), parse_activations(flags.acts, "cost: --acts"),
            parse_accumulator(flags.accumulator, "cost: --acc"), flags.dot};
  unit.terms = terms_between_scales(unit.weights, unit.acts, flags.dot);
  unit.product = product_bits(unit.weights, unit.acts);
  unit.exact = exact_sum_bits(unit.weights, unit.acts, unit.terms);
  unit.published = published_sum_bits(unit.weights, unit.acts, unit.terms);
  return unit;
}

/// The narrowest word that holds the exact sum; "" where 128 bits do not.
std::string word_of(int bits) {
  for (const int word : {16, 32, 64, 128})
    if (bits <= word) return fmt::format("int{}", word);
  return "";
}

struct Part {
  const char* name;
  double MacCost::*cost;
};
constexpr Part kParts[] = {{"multiplier", &MacCost::multiplier},
                           {"exponents", &MacCost::exponents},
                           {"alignment", &MacCost::alignment},
                           {"accumulator", &MacCost::accumulator},
                           {"rounding", &MacCost::rounding}};

MacCost cost_by(const CostModel& model, const Unit& unit) {
  return mac_cost(model.constants, unit.weights, unit.acts, unit.accumulator, unit.terms);
}

/// A unit of int8-narrow with an exact accumulator for dot products as long: what others are measured by.
double int8_cost(const CostModel& model, int64_t dot) {
  const Operand int8 = operand_of(IntFormat{8, true});
  return mac_cost(model.constants, int8, int8, Accumulator::kExact, dot).total();
}

Json figures_record(const CostModel& model) {
  Json figures = Json::array();
  for (const CostFigure& figure : model.figures)
    figures.push_back({{"of", figure.of},
                       {"weights", figure.weights},
                       {"acts", figure.acts},
                       {"accumulator", name_of(figure.accumulator)},
                       {"given", figure.given},
                       {"ours", figure.ours},
                       {"misfit", figure.misfit()},
                       {"fitted", figure.fitted},
                       {"source", figure.source}});
  return figures;
}

Json model_record(const CostModel& model, const Unit& unit) {
  const MacCost cost = cost_by(model, unit);
  Json parts;
  for (const Part& part : kParts) parts[part.name] = cost.*part.cost;
  return {{"parts", std::move(parts)},
          {"total", cost.total()},
          {"relative_to_int8", cost.total() / int8_cost(model, unit.dot)},
          {"note", model.note},
          {"misfit_rms", model.spread()},
          {"misfit_worst", model.worst()},
          {"figures", figures_record(model)}};
}

Json record_of(const Unit& unit) {
  const auto bytes = [&](const Operand& operand) { return operand.stored_bits * static_cast<double>(unit.dot) / 8; };
  return {{"weights", unit.weights.name},
          {"acts", unit.acts.name},
          {"accumulator", name_of(unit.accumulator)},
          {"dot", unit.dot},
          {"terms", unit.terms},
          {"product_bits", unit.product},
          {"exact_sum_bits", unit.exact},
          {"published_sum_bits", unit.published},
          {"word", word_of(unit.exact)},
          {"fp32_sums_exact", unit.exact <= kFp32SumBits},
          {"fp16_sums_exact", unit.exact <= kFp16SumBits},
          {"bytes", {{"weights", bytes(unit.weights)}, {"acts", bytes(unit.acts)}}},
          {"luts", model_record(lut_model(), unit)},
          {"gates", model_record(gate_model(), unit)}};
}

std::string operand_text(const Operand& operand, int64_t dot) {
  const std::string kind =
      operand.is_integer() ? fmt::format("integer of {} bits", operand.significand)
                           : fmt::format("{} exponent bits, significand of {}", operand.exponent, operand.significand);
  return fmt::format("{}: {}; {} bits stored, {} bytes per {}", operand.name, kind, format_bits(operand.stored_bits),
                     format_significant(operand.stored_bits * static_cast<double>(dot) / 8, 4), dot);
}

Facts facts_of(const Unit& unit) {
  const std::string word = word_of(unit.exact);
  Facts facts = {{"weights", operand_text(unit.weights, unit.dot)}, {"activations", operand_text(unit.acts, unit.dot)}};
  facts.push_back({"products", fmt::format("{} bits, sign included", unit.product)});
  facts.push_back({"exact sums", fmt::format("{} bits ({}) of {} products; published form: {} bits", unit.exact,
                                             word.empty() ? "no machine word" : word, unit.terms, unit.published)});
  if (unit.terms < unit.dot)
    facts.push_back({"", fmt::format("scales of {} numbers are applied outside, and their sums added up", unit.terms)});
  const auto answer = [&](int bits) { return unit.exact <= bits ? "exact in any order" : "rounded"; };
  facts.push_back({"sums in fp32", answer(kFp32SumBits)});
  facts.push_back({"sums in fp16", answer(kFp16SumBits)});
  return facts;
}

Table cost_table(const Unit& unit) {
  const CostModel& luts = lut_model();
  const CostModel& gates = gate_model();
  const MacCost in_luts = cost_by(luts, unit), in_gates = cost_by(gates, unit);
  const auto number = [](double value) { return fmt::format("{:.1f}", value); };
  Table table({{"one unit, sums " + name_of(unit.accumulator), Align::kLeft}, {luts.unit}, {gates.unit}});
  for (const Part& part : kParts) table.add({part.name, number(in_luts.*part.cost), number(in_gates.*part.cost)});
  table.add({"total", number(in_luts.total()), number(in_gates.total())});
  table.add({"times an exact int8 unit", fmt::format("{:.2f}", in_luts.total() / int8_cost(luts, unit.dot)),
             fmt::format("{:.2f}", in_gates.total() / int8_cost(gates, unit.dot))});
  return table;
}

Table figures_table() {
  Table table({{"figure", Align::kLeft}, {"given"}, {"ours"}, {"off by"}, {"", Align::kLeft}});
  for (const CostModel* model : {&lut_model(), &gate_model()})
    for (const CostFigure& figure : model->figures)
      table.add({fmt::format("{}: {}{}{}{}{}", model->unit, figure.of, figure.weights.empty() ? "" : " ",
                             figure.weights, figure.acts == figure.weights ? "" : " x " + figure.acts,
                             figure.accumulator == Accumulator::kExact ? "" : " in " + name_of(figure.accumulator)),
                 format_significant(figure.given, 3), format_significant(figure.ours, 3),
                 fmt::format("{:+.1f} %", 100 * figure.misfit()), figure.fitted ? "fitted" : "not fitted"});
  return table;
}

/// Whose figures these are, and how far to be trusted.
std::string misfit_text(const CostModel& model) {
  int fitted = 0, others = 0;
  double worst = 0;  // of the others
  for (const CostFigure& figure : model.figures) {
    (figure.fitted ? fitted : others)++;
    if (!figure.fitted) worst = std::max(worst, std::abs(figure.misfit()));
  }
  return fmt::format(
      "{}: our fit to {} published figures, off by {} (root mean square), at most {}; {} not fitted: {}\n", model.unit,
      fitted, format_percent(model.spread()), format_percent(model.worst()), others, format_percent(worst));
}

void cost(const Flags& flags, Session& session) {
  const Unit unit = unit_of(flags);
  std::string text = facts_text(facts_of(unit)) + "\n" + cost_table(unit).to_text(session.bold()) + "\n" +
                     misfit_text(lut_model()) + misfit_text(gate_model());
  if (flags.figures) text += "\n" + figures_table().to_text(session.bold());
  session.show(record_of(unit), text);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  const std::string formats = "a format (int8, e4m3fn), fp16, bf16, fp32, or a scheme (mxfp4, int4-g128)";
  app.add_option("--weights", flags->weights, "weights: " + formats)->type_name("FORMAT")->required();
  app.add_option("--acts", flags->acts, "activations: the same, or as int8-token")->type_name("FORMAT")->required();
  app.add_option("--acc", flags->accumulator, "what adds the products up: exact (fixed point), fp32 or fp16")
      ->type_name("SUMS")
      ->capture_default_str();
  app.add_option("--dot", flags->dot, "products in a dot product")
      ->type_name("N")
      ->check(integer_in(1, int64_t{1} << 30))
      ->capture_default_str();
  app.add_flag("--figures", flags->figures, "also list the published figures and how far the models are off");
  add_json_flag(app, session);
  return [flags, &session] { cost(*flags, session); };
}

}  // namespace

Verb cost_verb() {
  return {"cost",
          "what formats cost in hardware: widths of sums, LUTs, gates, bytes",
          "--weights FORMAT --acts FORMAT [flags]",
          {"bitloom cost --weights e2m1 --acts e4m3fn --dot 11008",
           "bitloom cost --weights int4-g128 --acts int8-token --acc fp32 --figures"},
          setup};
}

}  // namespace bitloom
