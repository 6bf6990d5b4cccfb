#include "hardware/cost_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/text/text.h"
#include "hardware/accumulator.h"
#include "hardware/cost_constants.h"
#include "io/json.h"

namespace bitloom {
namespace {

struct AccumulatorRow {
  Accumulator accumulator;
  const char* name;
  int significand, exponent;  // of the floating-point adder
};
constexpr AccumulatorRow kAccumulators[] = {
    {Accumulator::kExact, "exact", 0, 0}, {Accumulator::kFp32, "fp32", 24, 8}, {Accumulator::kFp16, "fp16", 11, 5}};

const AccumulatorRow& row_of(Accumulator accumulator) { return kAccumulators[static_cast<size_t>(accumulator)]; }

/// A shifter of `bits` bits by as many places: bits ceil(log2 bits).
double stages(int bits) { return bits * std::bit_width(static_cast<unsigned>(bits) - 1); }

/// The least or the greatest cost of a unit of any of the formats, relative to the narrow integer of as many bits.
template <typename Cost>
double ratio(const CostModel& model, bool greatest, Cost cost) {
  std::vector<double> ratios;
  for (const std::string& name : model.ratio_formats) {
    const Operand number = parse_weights(name, "cost_constants.json");
    const Operand integer = parse_weights(fmt::format("int{}-narrow", number.stored_bits), "cost_constants.json");
    ratios.push_back(cost(number) /
                     mac_cost(model.constants, integer, integer, Accumulator::kExact, model.terms).total());
  }
  return greatest ? *std::max_element(ratios.begin(), ratios.end()) : *std::min_element(ratios.begin(), ratios.end());
}

double unit_ratio(const CostModel& model, bool greatest) {
  return ratio(model, greatest, [&](const Operand& a) {
    return mac_cost(model.constants, a, a, Accumulator::kExact, model.terms).total();
  });
}

double converted_ratio(const CostModel& model, bool greatest) {
  return ratio(model, greatest,
               [&](const Operand& a) { return cost_with_conversion(model.constants, a, a, model.terms); });
}

MacCost unit_of(const CostModel& model, const CostFigure& figure) {
  const Operand a = parse_weights(figure.weights, "cost_constants.json");
  const Operand b = parse_activations(figure.acts, "cost_constants.json");
  return mac_cost(model.constants, a, b, figure.accumulator, model.terms);
}

// What the model says of a figure, by its key.
constexpr struct {
  const char* of;
  double (*value)(const CostModel& model, const CostFigure& figure);
} kFigures[] = {
    {"adder",
     [](const CostModel& m, const CostFigure& f) {
       return m.constants.area * m.constants.adder * parse_weights(f.weights, "cost_constants.json").significand;
     }},
    {"multiplier",
     [](const CostModel& m, const CostFigure& f) {
       const MacCost cost = unit_of(m, f);
       return m.constants.area * (cost.multiplier + cost.exponents);
     }},
    {"unit", [](const CostModel& m, const CostFigure& f) { return m.constants.area * unit_of(m, f).total(); }},
    {"least ratio", [](const CostModel& m, const CostFigure&) { return unit_ratio(m, false); }},
    {"greatest ratio", [](const CostModel& m, const CostFigure&) { return unit_ratio(m, true); }},
    {"least ratio converted", [](const CostModel& m, const CostFigure&) { return converted_ratio(m, false); }},
    {"greatest ratio converted", [](const CostModel& m, const CostFigure&) { return converted_ratio(m, true); }},
    {"relative",
     [](const CostModel& m, const CostFigure& f) {
       const Operand int8 = operand_of(IntFormat{8, true});
       return unit_of(m, f).total() / mac_cost(m.constants, int8, int8, Accumulator::kExact, m.terms).total();
     }},
};

double value_of(const CostModel& model, const CostFigure& figure) {
  const auto named = [&](const auto& row) { return figure.of == row.of; };
  const auto row = std::find_if(std::begin(kFigures), std::end(kFigures), named);
  if (row == std::end(kFigures)) refuse("cost_constants.json: {}: unknown figure \"{}\"", model.name, figure.of);
  return row->value(model, figure);
}

CostFigure read_figure(const Json& json) {
  CostFigure figure;
  figure.of = json.at("of");
  figure.weights = json.value("weights", "");
  figure.acts = json.value("acts", "");
  figure.accumulator = parse_accumulator(json.value("acc", "exact"), "cost_constants.json");
  figure.source = json.at("source");
  figure.given = json.at("given");
  figure.fitted = json.at("fitted");
  return figure;
}

CostModel read_model(const std::string& name) {
  const Json json = parse_json(kCostConstants, "cost_constants.json").at(name);
  CostModel model{name, json.at("unit"), json.at("note"), json.at("terms"), json.at("ratio_formats"), {}, {}};
  for (const Json& figure : json.at("figures")) model.figures.push_back(read_figure(figure));
  const Json& c = json.at("constants");
  return with_constants(
      model, {c.at("multiplier"), c.at("exponent"), c.at("shifter"), c.at("adder"), c.at("rounding"), c.at("area")});
}

}  // namespace

std::string name_of(Accumulator accumulator) { return row_of(accumulator).name; }

Accumulator parse_accumulator(const std::string& text, const std::string& place) {
  std::vector<std::string> names;
  for (const AccumulatorRow& row : kAccumulators) {
    if (text == row.name) return row.accumulator;
    names.emplace_back(row.name);
  }
  misuse("{}: unknown accumulator '{}'{}; there are: {}", place, text, did_you_mean(text, names),
         fmt::join(names, ", "));
}

MacCost mac_cost(const CostConstants& c, const Operand& a, const Operand& b, Accumulator accumulator, int64_t terms) {
  MacCost cost;
  const int exponent = std::max(a.exponent, b.exponent);
  cost.multiplier = c.multiplier * a.significand * b.significand;
  if (exponent > 0) cost.exponents = c.exponent * (exponent + 1);
  if (accumulator == Accumulator::kExact) {
    if (exponent > 1) cost.alignment = c.shifter * stages(product_bits(a, b));
    cost.accumulator = c.adder * exact_sum_bits(a, b, terms);
    return cost;
  }
  const AccumulatorRow& sum = row_of(accumulator);
  cost.alignment = c.shifter * 2 * stages(sum.significand);
  cost.accumulator = c.adder * sum.significand + c.exponent * sum.exponent;
  cost.rounding = c.rounding;
  return cost;
}

double cost_with_conversion(const CostConstants& c, const Operand& a, const Operand& b, int64_t terms) {
  return mac_cost(c, a, b, Accumulator::kExact, terms).total() + c.shifter * stages(exact_sum_bits(a, b, terms)) +
         c.rounding;
}

int64_t terms_between_scales(const Operand& a, const Operand& b, int64_t terms) {
  for (const Operand* operand : {&a, &b})
    if (operand->group > 0) terms = std::min(terms, operand->group);
  return terms;
}

double CostModel::spread() const {
  double sum = 0;
  int count = 0;
  for (const CostFigure& figure : figures)
    if (figure.fitted) sum += std::pow(std::log(figure.ours / figure.given), 2), ++count;
  return std::sqrt(sum / count);
}

double CostModel::worst() const {
  double worst = 0;
  for (const CostFigure& figure : figures)
    if (figure.fitted) worst = std::max(worst, std::abs(figure.misfit()));
  return worst;
}

CostModel with_constants(const CostModel& model, const CostConstants& constants) {
  CostModel other = model;
  other.constants = constants;
  for (CostFigure& figure : other.figures) figure.ours = value_of(other, figure);
  return other;
}

const CostModel& lut_model() {
  static const CostModel model = read_model("luts");
  return model;
}

const CostModel& gate_model() {
  static const CostModel model = read_model("gates");
  return model;
}

}  // namespace bitloom
