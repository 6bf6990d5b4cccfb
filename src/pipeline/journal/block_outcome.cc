#include "pipeline/journal/block_outcome.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }
double number_or_nan(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

}  // namespace

Json to_json(const BlockTuningRecord& record) {
  return {{"error_before", finite_or_null(record.before)},
          {"error_after", finite_or_null(record.after)},
          {"held_out_tokens", record.tokens},
          {"best_step", record.best_step},
          {"steps", record.steps}};
}

BlockTuningRecord tuning_from_json(const Json& json) {
  return {.before = number_or_nan(json.at("error_before")),
          .after = number_or_nan(json.at("error_after")),
          .tokens = json.at("held_out_tokens").get<int64_t>(),
          .best_step = json.at("best_step").get<int64_t>(),
          .steps = json.at("steps").get<int64_t>()};
}

std::map<std::string, std::string> to_texts(const std::map<int, ActivationFormat>& activations) {
  std::map<std::string, std::string> texts;
  for (const auto& [input, format] : activations) texts.emplace(std::to_string(input), to_string(format));
  return texts;
}

std::map<int, ActivationFormat> activations_of(const std::map<std::string, std::string>& texts) {
  std::map<int, ActivationFormat> activations;
  for (const auto& [key, text] : texts) {
    const auto input = parse_number<int>(key);
    if (!input || *input < 0) refuse("activations of input '{}': an index from 0 on is expected", key);
    activations.emplace(*input, parse_activation_format(text));
  }
  return activations;
}

RowSourcePtr rewritten_rows(const Graph& graph, int block, const std::string& tensor, std::vector<float> values) {
  for (const Site& site : linear_sites(graph, block)) {
    if (site.linear->weight == tensor) return dense_matrix(site.linear->out, site.linear->in, std::move(values));
  }
  const auto count = static_cast<int64_t>(values.size());
  return dense_matrix(1, count, std::move(values));
}

}  // namespace bitloom
