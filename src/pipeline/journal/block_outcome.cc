#include "pipeline/journal/block_outcome.h"

#include "base/dense_matrix.h"

namespace bitloom {

std::map<std::string, std::string> to_texts(const std::map<int, ActivationFormat>& activations) {
  std::map<std::string, std::string> texts;
  for (const auto& [input, format] : activations) texts.emplace(std::to_string(input), to_string(format));
  return texts;
}

std::map<int, ActivationFormat> activations_of(const std::map<std::string, std::string>& texts) {
  std::map<int, ActivationFormat> activations;
  for (const auto& [input, text] : texts) activations.emplace(std::stoi(input), parse_activation_format(text));
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
