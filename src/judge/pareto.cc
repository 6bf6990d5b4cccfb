#include "judge/pareto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

const std::vector<Quality>& qualities() {
  static const std::vector<Quality> all = {{"kl_mean", "kl_ci95", "KL divergence, nats"},
                                           {"ppl", "ppl_ci95", "perplexity"},
                                           {"nll", "", "nats per token"},
                                           {"bits_per_byte", "", "bits per byte"}};
  return all;
}

/// Dense tensors are named by their dtypes.
std::string operand_name(const std::string& storage) {
  static const std::map<std::string, std::string> kDense = {
      {"BF16", "bf16"}, {"F16", "fp16"}, {"F32", "fp32"}, {"F8_E4M3", "e4m3fn"}, {"F8_E5M2", "e5m2-ieee"}};
  const auto dense = kDense.find(storage);
  return dense == kDense.end() ? storage : dense->second;
}

ResultRow row_of_model(const Json& model) {
  ResultRow row{model.at("name"), model, {}, model.value("activations", "")};
  if (model.contains("format")) row.storages.push_back({model["format"].get<std::string>()});
  return row;
}

/// Weights by storage, of the record that `bitloom quantize --json` prints.
std::vector<StoredShare> storages_of(const Json& quantize) {
  std::map<std::string, double> weights;
  for (const Json& tensor : quantize.value("tensors", Json::array()))
    weights[tensor.at("storage")] += tensor.at("shape").at(0).get<double>() * tensor.at("shape").at(1).get<double>();
  std::vector<StoredShare> shares;
  for (const auto& [storage, count] : weights) shares.push_back({storage, count});
  return shares;
}

/// The format of all steps that name one; "a, b" of several.
std::string activations_of(const Json& quantize) {
  std::set<std::string> formats;
  if (!quantize.contains("recipe")) return "";
  for (const Json& step : quantize["recipe"].value("steps", Json::array()))
    if (step.contains("activations")) formats.insert(step["activations"].get<std::string>());
  return fmt::format("{}", fmt::join(formats, ", "));
}

/// The figures of a record that `figures` lacks; an interval only together with its quality.
void add_figures(Json& figures, Json record) {
  for (const Quality& quality : qualities())
    if (figures.contains(quality.key) || !record.contains(quality.key)) record.erase(quality.interval);
  for (const auto& [key, value] : record.items())
    if (!figures.contains(key)) figures[key] = value;
}

/// A recipe's row holds what was found of the model that it was made from, too: that says nothing of this one.
void read_results(const Json& results, ResultRow& row) {
  const Json quantize = results.value("quantize", Json());
  if (results.contains("quantize") && !quantize.is_object()) return;  // it failed
  if (quantize.is_object()) {
    row.storages = storages_of(quantize), row.activations = activations_of(quantize);
    add_figures(row.figures, quantize);
  }
  for (const Json& result : results) {
    const bool of_source =
        quantize.contains("model") && result.is_object() && result.value("model", Json()) == quantize["model"];
    if (result.is_object() && !of_source) add_figures(row.figures, result);
  }
}

ResultRow row_of_suite(const Json& json, bool several_models) {
  const std::string recipe = json.at("recipe"), format = json.at("format"), model = json.at("model");
  ResultRow row;
  row.label = recipe + (format.empty() || recipe.find(format) != recipe.npos ? "" : " " + format);
  if (several_models) row.label = model + " " + row.label;
  row.figures = Json::object();
  read_results(json.at("results"), row);
  return row;
}

std::vector<ResultRow> rows_of_suite(const Json& rows) {
  std::vector<ResultRow> out;
  std::set<std::string> models;
  for (const Json& row : rows) models.insert(row.at("model").get<std::string>());
  for (const Json& row : rows) out.push_back(row_of_suite(row, models.size() > 1));
  return out;
}

std::vector<ResultRow> rows_of_comparison(const Json& models) {
  std::vector<ResultRow> out;
  for (const Json& model : models) out.push_back(row_of_model(model));
  return out;
}

double unit_cost(const ParetoCost& cost, const Operand& weights, const Operand& acts) {
  const CostModel& model = cost.name == "lut" ? lut_model() : gate_model();
  return mac_cost(model.constants, weights, acts, cost.accumulator, terms_between_scales(weights, acts, cost.dot))
      .total();
}

/// Of the weight files; `bitloom info` calls by "bytes" what its tensors take.
double bytes_of(const Json& figures) {
  for (const char* key : {"file_bytes", "bytes"})
    if (figures.contains(key) && figures[key].is_number()) return figures[key].get<double>();
  misuse("no figure \"bytes\"");
}

/// Error(kUsage) for numbers that no unit is modelled for.
double unit_cost_of(const ResultRow& row, const ParetoCost& cost) {
  if (row.storages.empty()) misuse("its storage is not recorded");
  if (row.activations.find(" more") != row.activations.npos || row.activations.find(", ") != row.activations.npos)
    misuse("activations of several formats: {}", row.activations);
  const Operand acts = parse_activations(row.activations.empty() ? cost.activations : row.activations, "activations");
  double sum = 0, weights = 0;
  for (const StoredShare& share : row.storages) {
    if (share.storage.find(" more") != share.storage.npos) misuse("weights of several storages: {}", share.storage);
    sum += share.weights * unit_cost(cost, parse_weights(operand_name(share.storage), "weights"), acts);
    weights += share.weights;
  }
  return sum / weights;
}

double cost_of(const ResultRow& row, const ParetoCost& cost) {
  const double value = cost.name == "bytes" ? bytes_of(row.figures) : unit_cost_of(row, cost);
  if (!std::isfinite(value) || value <= 0) misuse("a cost of {}; it is a positive number", value);
  return value;
}

bool is_finite(const Json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

Estimate quality_of(const ResultRow& row, const Quality& quality) {
  const Json value = row.figures.value(quality.key, Json());
  if (!is_finite(value)) misuse("no figure \"{}\"", quality.key);
  Estimate estimate{.value = value};
  const Json ends = row.figures.value(quality.interval, Json());
  if (ends.is_array() && ends.size() == 2 && is_finite(ends[0]) && is_finite(ends[1]))
    estimate.low = ends[0], estimate.high = ends[1];
  return estimate;
}

/// `points` by rising cost: on the front are those of the least quality of their cost, if all cheaper ones have more.
void mark_front(std::vector<ParetoPoint>& points) {
  double cheaper = std::numeric_limits<double>::infinity();
  for (auto first = points.begin(); first != points.end();) {
    const auto end = std::find_if(first, points.end(), [&](const ParetoPoint& p) { return p.cost != first->cost; });
    double least = cheaper;
    for (auto point = first; point != end; ++point) least = std::min(least, point->quality.value);
    for (; first != end; ++first) first->front = first->quality.value == least && least < cheaper;
    cheaper = least;
  }
}

/// What an error says of a storage, without the list of all formats.
std::string short_reason(const std::string& message) {
  const size_t list = message.find("; there are");
  return message.substr(0, list);
}

}  // namespace

std::vector<ResultRow> read_result_rows(const Json& record, const std::string& path) {
  try {
    if (record.is_object() && record.contains("rows")) return rows_of_suite(record["rows"]);
    if (record.is_object() && record.contains("models")) return rows_of_comparison(record["models"]);
  } catch (const Json::exception& error) {
    refuse("{}: its entries are not those of 'bitloom compare --json' or of a suite's results.json: {}", path,
           error.what());
  }
  refuse("{}: neither a record of 'bitloom compare --json' (\"models\") nor a suite's results.json (\"rows\")", path);
}

Quality quality_named(const std::string& key, const std::string& place) {
  std::vector<std::string> keys;
  for (const Quality& quality : qualities()) {
    if (quality.key == key) return quality;
    keys.push_back(quality.key);
  }
  misuse("{}: unknown quality '{}'{}; there are: {}", place, key, did_you_mean(key, keys), fmt::join(keys, ", "));
}

std::string title_of(const ParetoCost& cost) {
  if (cost.name == "bytes") return "weight files, bytes";
  const CostModel& model = cost.name == "lut" ? lut_model() : gate_model();
  return fmt::format("{} of a unit, mean over the weights", model.unit);
}

ParetoSet pareto_set(const std::vector<ResultRow>& rows, const Quality& quality, const ParetoCost& cost) {
  ParetoSet set;
  for (const ResultRow& row : rows) {
    try {
      const Estimate estimate = quality_of(row, quality);
      const std::string acts = row.activations.empty() ? cost.activations : row.activations;
      set.points.push_back({row.label, cost.name == "bytes" ? "" : acts, cost_of(row, cost), estimate});
    } catch (const Error& error) {
      set.left_out.push_back({row.label, short_reason(error.what())});
    }
  }
  std::stable_sort(set.points.begin(), set.points.end(),
                   [](const ParetoPoint& a, const ParetoPoint& b) { return a.cost < b.cost; });
  mark_front(set.points);
  return set;
}

}  // namespace bitloom
