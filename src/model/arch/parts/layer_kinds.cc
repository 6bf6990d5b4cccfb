// What differs between the layers of one model: windows, rotary embeddings; and biases that differ between heads.

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

/// One kind's settings: rope_parameters[kind]; older files have rope_scaling (global layers only) and theta keys.
Rope kind_rope(const ConfigReader& config, const std::string& kind, const KindTheta& theta, const Graph& graph) {
  const bool local = kind == "sliding_attention";
  RopeRules rules;
  rules.head_dim = graph.blocks.front().attention.head_dim;
  for (const Block& block : graph.blocks) {
    if ((block.attention.window > 0) == local) rules.head_dim = block.attention.head_dim;
  }
  const Json both = config.object("rope_parameters");
  const ConfigReader nested(both, config.origin(), "rope_parameters.");
  Json settings = nested.object(kind);
  std::string prefix = "rope_parameters." + kind + ".";
  if (kind == "full_attention" && config.has("rope_scaling")) {
    settings.update(config.object("rope_scaling"));
    prefix = "rope_scaling.";
  }
  if (!settings.contains("rope_theta")) settings["rope_theta"] = config.positive(theta.key, theta.fallback);
  rules.max_positions = graph.max_positions;
  return rope_from_settings(ConfigReader(settings, config.origin(), prefix), rules);
}

}  // namespace

void set_ropes_by_kind(Graph& graph, const ConfigReader& config, const KindTheta& theta, const KindTheta& local_theta) {
  const Json parameters = config.object("rope_parameters");
  if (parameters.contains("rope_type") || parameters.contains("rope_theta")) {
    config.refuse_value("rope_parameters", "expected the keys full_attention and sliding_attention");
  }
  graph.ropes = {kind_rope(config, "full_attention", theta, graph),
                 kind_rope(config, "sliding_attention", local_theta, graph)};
  for (Block& block : graph.blocks) block.attention.rope = block.attention.window > 0 ? 1 : 0;
}

void rotate_local_layers_alone(Graph& graph) {
  for (Block& block : graph.blocks) {
    if (block.attention.window == 0) block.attention.rope = -1;
  }
}

bool not_last_of_pattern(int64_t layer, int64_t pattern) { return (layer + 1) % pattern != 0; }

std::vector<bool> read_layer_types(const ConfigReader& config, int64_t layers,
                                   bool (*local_by_default)(int64_t, int64_t), int64_t parameter) {
  std::vector<bool> local;
  const std::vector<std::string> types = config.texts("layer_types");
  if (types.empty()) {
    for (int64_t i = 0; i < layers; ++i) local.push_back(local_by_default(i, parameter));
    return local;
  }
  if (static_cast<int64_t>(types.size()) != layers) {
    config.refuse_value("layer_types", fmt::format("expected {} entries, one per layer", layers));
  }
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      refuse("{}: 'layer_types' has \"{}\", supported: full_attention, sliding_attention", config.origin(), type);
    }
    local.push_back(type == "sliding_attention");
  }
  return local;
}

void require_uniform_layers(const ConfigReader& config, int64_t layers, bool local) {
  const auto as_model = [](int64_t, int64_t all_local) { return all_local != 0; };
  for (const bool layer : read_layer_types(config, layers, as_model, local ? 1 : 0)) {
    if (layer == local) continue;
    config.refuse_value("layer_types", fmt::format("but all layers of this architecture are {}_attention here",
                                                   local ? "sliding" : "full"));
  }
}

void set_windows(Graph& graph, const ConfigReader& config, const std::vector<bool>& local, int64_t window) {
  for (size_t i = 0; i < graph.blocks.size(); ++i) {
    if (!local[i]) continue;
    if (window == 0) config.refuse_value("sliding_window", fmt::format("but layer {} is sliding_attention", i));
    graph.blocks[i].attention.window = window;
  }
}

int64_t read_window(const ConfigReader& config, int64_t absent) {
  return config.contains("sliding_window") ? config.find_count("sliding_window").value_or(0) : absent;
}

void set_upper_windows(Graph& graph, const ConfigReader& config) {
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const auto upper = [](int64_t layer, int64_t first) { return layer >= first; };
  const int64_t window = config.flag("use_sliding_window", false) ? read_window(config, 4096) : 0;
  // max_window_layers may be 0 (all layers local).
  const double first = config.number("max_window_layers", 28.0);
  const int64_t from = window > 0 ? static_cast<int64_t>(std::clamp(first, 0.0, static_cast<double>(layers))) : layers;
  set_windows(graph, config, read_layer_types(config, layers, upper, from), window);
}

std::vector<float> alibi_slopes(int64_t heads) {
  int64_t below = 1;
  while (2 * below <= heads) below *= 2;
  std::vector<float> slopes;
  for (int64_t h = 1; h <= below; ++h)
    slopes.push_back(std::exp2(-8.0f * static_cast<float>(h) / static_cast<float>(below)));
  for (int64_t h = 1; static_cast<int64_t>(slopes.size()) < heads; h += 2) {
    slopes.push_back(std::exp2(-4.0f * static_cast<float>(h) / static_cast<float>(below)));
  }
  return slopes;
}

}  // namespace bitloom::arch
