#include "model/architecture.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text/text.h"
#include "model/arch/parts.h"

namespace bitloom {

#define BITLOOM_ARCHITECTURE(model_type, name) \
  Graph build_##name(const Json& document, const std::string& origin, const TensorNames& names);
#include "model/arch/architectures.inc"
#undef BITLOOM_ARCHITECTURE

namespace {

const std::vector<Architecture> kArchitectures = {
#define BITLOOM_ARCHITECTURE(model_type, name) {model_type, build_##name},
#include "model/arch/architectures.inc"
#undef BITLOOM_ARCHITECTURE
};

/// The largest number under one of the keys; 1 where there is none.
double largest(const Json& config, std::span<const char* const> keys) {
  double value = 1;
  for (const char* key : keys) {
    if (const auto at = config.find(key); at != config.end() && at->is_number())
      value = std::max(value, at->get<double>());
  }
  return value;
}

/// A graph names every expert of every layer before any file is asked for them: a configuration that lies must not fill
/// the memory with names. The largest published models have some ten thousand.
void refuse_too_many_experts(const ConfigReader& config, const Json& document) {
  constexpr double kMost = 1 << 17;
  constexpr std::array kLayers = {"num_hidden_layers", "n_layer", "num_layers"};
  constexpr std::array kExperts = {"num_experts", "num_local_experts", "n_routed_experts"};
  const double layers = largest(document, kLayers), experts = largest(document, kExperts);
  if (experts > 1 && layers * experts > kMost) {
    refuse("{}: {} experts in all layers, expected at most {}", config.origin(), layers * experts, kMost);
  }
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

Graph build_graph(const Json& config, const std::string& origin, const TensorNames& names) {
  const ConfigReader reader(config, origin);
  const std::string model_type = reader.text("model_type");
  arch::refuse_unsupported(reader);
  refuse_too_many_experts(reader, config);
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.model_type == model_type) {
      Graph graph = architecture.build(config, origin, names);
      graph.architecture = model_type;
      const auto mixes = [](const Block& block) { return block.experts.present(); };
      if (std::none_of(graph.blocks.begin(), graph.blocks.end(), mixes)) arch::refuse_experts(reader);
      return graph;
    }
    known.push_back(architecture.model_type);
  }
  arch::refuse_known(model_type, origin);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  refuse("{}: unknown architecture '{}'{}; known: {}", origin, model_type, did_you_mean(model_type, known), list);
}

}  // namespace bitloom
