#include "model/arch/parts.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace bitloom::arch {
namespace {

struct ActivationName {
  const char* name;
  Activation activation;
};

constexpr std::array kActivations = {
    ActivationName{"silu", Activation::kSilu},
    ActivationName{"swish", Activation::kSilu},
    ActivationName{"gelu", Activation::kGelu},
    ActivationName{"gelu_python", Activation::kGelu},
    ActivationName{"gelu_new", Activation::kGeluTanh},
    ActivationName{"gelu_fast", Activation::kGeluTanh},
    ActivationName{"gelu_accurate", Activation::kGeluTanh},
    ActivationName{"gelu_pytorch_tanh", Activation::kGeluTanh},
    ActivationName{"gelu_python_tanh", Activation::kGeluTanh},
    ActivationName{"relu", Activation::kRelu},
    ActivationName{"relu2", Activation::kReluSquared},
};

void refuse_foreign_quantization(const ConfigReader& config) {
  const Json section = config.object("quantization_config");
  if (section.empty()) return;
  const ConfigReader reader(section, config.origin(), "quantization_config.");
  const std::string method = reader.text("quant_method", "none");
  if (method == "bitloom") return;
  refuse(
      "{}: quantization_config.quant_method is \"{}\"; bitloom reads unquantized checkpoints and its own "
      "(\"bitloom\")",
      config.origin(), method);
}

}  // namespace

Linear make_linear(const std::string& name, int64_t out, int64_t in, bool bias) {
  Linear linear;
  linear.weight = name + ".weight";
  if (bias) linear.bias = name + ".bias";
  linear.out = out;
  linear.in = in;
  return linear;
}

Norm weight_norm(const std::string& name) { return {name + ".weight", ""}; }
Norm affine_norm(const std::string& name) { return {name + ".weight", name + ".bias"}; }

Activation read_activation(const ConfigReader& config, const std::string& key, const std::string& fallback) {
  const std::string name = config.text(key, fallback);
  std::string allowed;
  for (const ActivationName& row : kActivations) {
    if (name == row.name) return row.activation;
    allowed += (allowed.empty() ? "" : ", ") + std::string(row.name);
  }
  config.refuse_value(key, "supported: " + allowed);
}

void refuse_unsupported(const ConfigReader& config) {
  refuse_foreign_quantization(config);
  config.refuse_if_set("clip_qkv", "clipping of q, k and v is not supported");
  config.refuse_if_set("is_encoder_decoder", "only decoders are supported");
  config.refuse_if_set("add_cross_attention", "cross attention is not supported");
  config.refuse_if_set("use_bidirectional_attention", "only causal attention is supported");
  config.refuse_if_set("no_rope_layers", "layers without rotary positions are not supported");
  if (!config.flag("is_causal", true)) config.refuse_value("is_causal", "only causal attention is supported");
}

void refuse_experts(const ConfigReader& config) {
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"}) {
    config.refuse_if_set(key, "mixtures of experts are not supported");
  }
}

int64_t read_layers(const ConfigReader& config, const std::string& key) {
  constexpr int64_t kMaxLayers = 10000;
  const int64_t layers = config.count(key);
  if (layers > kMaxLayers) config.refuse_value(key, fmt::format("expected at most {}", kMaxLayers));
  return layers;
}

std::string find_prefix(const TensorNames& names, const std::vector<std::string>& candidates,
                        const std::string& probe) {
  for (const std::string& prefix : candidates) {
    if (names.has(prefix + probe)) return prefix;
  }
  return candidates.front();
}

void set_head(Graph& graph, const ConfigReader& config, const std::string& name, bool tied_by_default) {
  const int64_t width = graph.project_out.present() ? graph.project_out.out : graph.hidden;
  graph.tied_head = config.flag("tie_word_embeddings", tied_by_default);
  graph.head = make_linear(name, graph.vocab_size, width, false);
  if (graph.tied_head) graph.head.weight = graph.embedding;
}

HeadShape equal_heads(const ConfigReader& config, const std::string& key, int64_t hidden) {
  const int64_t heads = config.count(key);
  if (hidden % heads != 0) config.refuse_value(key, fmt::format("which does not divide the hidden width {}", hidden));
  return {heads, heads, hidden / heads};
}

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

void set_upper_windows(Graph& graph, const ConfigReader& config) {
  const auto layers = static_cast<int64_t>(graph.blocks.size());
  const auto upper = [](int64_t layer, int64_t first) { return layer >= first; };
  const bool used = config.flag("use_sliding_window", false);
  const int64_t window = !used                               ? 0
                         : config.contains("sliding_window") ? config.find_count("sliding_window").value_or(0)
                                                             : 4096;
  // max_window_layers may be 0 (all layers local).
  const double first = config.number("max_window_layers", 28.0);
  const int64_t from = window > 0 ? static_cast<int64_t>(std::clamp(first, 0.0, static_cast<double>(layers))) : layers;
  set_windows(graph, config, read_layer_types(config, layers, upper, from), window);
}

}  // namespace bitloom::arch
