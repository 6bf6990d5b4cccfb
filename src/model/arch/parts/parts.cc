#include "model/arch/parts.h"

#include <algorithm>
#include <array>
#include <string_view>

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

/// Keys that change results, and the model_types whose builders read them.
struct FamilyKey {
  const char* key;
  const char* reason;
  std::string_view reader, other_reader = "";
};

constexpr std::array kFamilyKeys = {
    FamilyKey{"clip_qkv", "clipping of q, k and v is not supported", "olmo"},
    FamilyKey{"use_bidirectional_attention", "only causal attention is supported", "gemma3_text", "gemma4_text"},
    FamilyKey{"no_rope_layers", "layers without rotary positions are not supported", "smollm3"},
};

void refuse_foreign_quantization(const ConfigReader& config) {
  const Json section = config.object("quantization_config");
  if (section.empty()) return;
  const ConfigReader reader(section, config.origin(), "quantization_config.");
  const std::string method = reader.text("quant_method", "none");
  if (method == "bitloom" || (method == "mxfp4" && config.text("model_type") == "gpt_oss")) return;
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
  for (const FamilyKey& row : kFamilyKeys) {
    const std::string model_type = config.text("model_type", "");
    if (model_type != row.reader && model_type != row.other_reader) config.refuse_if_set(row.key, row.reason);
  }
  config.refuse_if_set("is_encoder_decoder", "only decoders are supported");
  config.refuse_if_set("add_cross_attention", "cross attention is not supported");
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

}  // namespace bitloom::arch
