// The metadata of a GGUF file as a config.json document.

#include <array>
#include <cmath>

#include "base/error.h"
#include "io/tensor_view.h"
#include "model/gguf_names.h"

namespace bitloom {
namespace {

/// Metadata under "ARCHITECTURE.", and what a file's tensors tell.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string architecture) : file_(file), architecture_(std::move(architecture)) {}

  const GgufFile& file() const { return file_; }
  std::string key(const std::string& name) const { return architecture_ + "." + name; }
  int64_t integer(const std::string& name) const { return file_.integer(key(name)); }
  std::optional<int64_t> find_integer(const std::string& name) const { return file_.find_integer(key(name)); }
  double number(const std::string& name) const { return shortest_decimal(file_.number(key(name))); }
  double number(const std::string& name, double fallback) const {
    const std::optional<double> value = file_.find_number(key(name));
    return value ? shortest_decimal(*value) : fallback;
  }
  const GgufTensor* find_tensor(const std::string& name) const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  bool has_tensor(const std::string& name) const { return find_tensor(name) != nullptr; }

  /// A size that may divide another and be multiplied with one.
  int64_t size(const std::string& name) const {
    constexpr int64_t kLargest = int64_t{1} << 30;
    const int64_t value = integer(name);
    if (value < 1 || value > kLargest) {
      refuse("{}: '{}' is {}, expected 1 to {}", file_.path(), key(name), value, kLargest);
    }
    return value;
  }
  int64_t size(const std::string& name, int64_t fallback) const { return file_.has(key(name)) ? size(name) : fallback; }
  int64_t head_dim() const {
    const int64_t hidden = size("embedding_length"), heads = size("attention.head_count");
    if (hidden < heads) {
      refuse("{}: '{}' is {}, more than '{}' = {}", file_.path(), key("attention.head_count"), heads,
             key("embedding_length"), hidden);
    }
    const int64_t keys = size("attention.key_length", hidden / heads);
    const int64_t values = size("attention.value_length", hidden / heads);
    if (keys == values) return keys;
    refuse("{}: '{}' is {} and '{}' is {}, expected equal lengths", file_.path(), key("attention.key_length"), keys,
           key("attention.value_length"), values);
  }
  int64_t rotated() const { return size("rope.dimension_count", head_dim()); }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

/// The factors of a small tensor such as rope_freqs.weight, as they divide the frequencies.
Json factor_list(const Metadata& data, const GgufTensor& tensor) {
  const auto pairs = (data.rotated() + 1) / 2;
  if (tensor.shape != std::vector<int64_t>{pairs}) {
    refuse("{}: tensor '{}' has shape {}, expected [{}]", tensor.file, tensor.name, shape_text(tensor.shape), pairs);
  }
  Json list = Json::array();
  for (const float factor : gguf_rows(tensor)->decode_all()) list.push_back(shortest_decimal(factor));
  return list;
}

/// Llama 3.1's factors are a tensor, one per frequency, whatever the sequence: longrope with equal lists says just
/// that.
Json frequency_factors(const Metadata& data, const GgufTensor& tensor) {
  const Json factors = factor_list(data, tensor);
  return {{"rope_type", "longrope"}, {"short_factor", factors},
          {"long_factor", factors},  {"factor", 1.0},
          {"attention_factor", 1.0}, {"original_max_position_embeddings", data.size("context_length")}};
}

Json longrope(const Metadata& data, const GgufTensor& shorter, const GgufTensor& longer) {
  return {{"rope_type", "longrope"},
          {"short_factor", factor_list(data, shorter)},
          {"long_factor", factor_list(data, longer)},
          {"original_max_position_embeddings",
           data.size("rope.scaling.original_context_length", data.size("context_length"))},
          {"attention_factor", data.number("rope.scaling.attn_factor", 1.0)}};
}

void require_neutral(const Metadata& data, const std::string& name, double neutral) {
  const double value = data.number(name, neutral);
  if (value == neutral) return;
  refuse("{}: '{}' is {}, supported: {}", data.file().path(), data.key(name), value, neutral);
}

Json yarn(const Metadata& data, double factor) {
  require_neutral(data, "rope.scaling.yarn_attn_factor", 1.0);
  require_neutral(data, "rope.scaling.yarn_ext_factor", 1.0);
  require_neutral(data, "rope.scaling.yarn_log_multiplier", 0.0);
  Json scaling = {{"rope_type", "yarn"},
                  {"factor", factor},
                  {"original_max_position_embeddings",
                   data.size("rope.scaling.original_context_length", data.size("context_length"))}};
  if (data.file().has(data.key("rope.scaling.yarn_beta_fast"))) {
    scaling["beta_fast"] = data.number("rope.scaling.yarn_beta_fast");
  }
  if (data.file().has(data.key("rope.scaling.yarn_beta_slow"))) {
    scaling["beta_slow"] = data.number("rope.scaling.yarn_beta_slow");
  }
  return scaling;
}

/// What positions are divided by: rope.scaling.factor, of older files rope.scale_linear; without either, or with 0,
/// they are not scaled. The type "none" overrides the factor.
double scaling_factor(const Metadata& data, const std::string& type) {
  if (type == "none") return 1.0;
  const double factor = data.number("rope.scaling.factor", data.number("rope.scale_linear", 0.0));
  return factor == 0.0 ? 1.0 : factor;
}

/// rope_scaling, or null when frequencies are unscaled. Without a type the format means "linear".
Json rope_scaling(const Metadata& data) {
  const std::string key = data.key("rope.scaling.type");
  const std::string type = data.file().find_text(key).value_or("linear");
  const double factor = scaling_factor(data, type);
  const GgufTensor* shorter = data.find_tensor("rope_factors_short.weight");
  const GgufTensor* longer = data.find_tensor("rope_factors_long.weight");
  const GgufTensor* factors = data.find_tensor("rope_freqs.weight");
  const bool has_lists = shorter != nullptr && longer != nullptr;
  if ((has_lists || factors != nullptr) && (type == "yarn" || factor != 1.0)) {
    refuse("{}: '{}' is '{}' with factor {} beside the tensor '{}', expected one of them", data.file().path(), key,
           type, factor, has_lists ? shorter->name : factors->name);
  }
  if (has_lists) return longrope(data, *shorter, *longer);
  require_neutral(data, "rope.scaling.attn_factor", 1.0);
  if (factors != nullptr) return frequency_factors(data, *factors);
  if (type == "yarn") return yarn(data, factor);
  if (type != "none" && type != "linear") {
    refuse("{}: '{}' is '{}', supported: none, linear, yarn, and factors as tensors", data.file().path(), key, type);
  }
  return factor == 1.0 ? Json() : Json({{"rope_type", "linear"}, {"factor", factor}});
}

/// The factor for which int(head_dim * factor), as config.json's readers compute it, is `rotated`.
double partial_factor(int64_t rotated, int64_t head_dim) {
  double factor = static_cast<double>(rotated) / static_cast<double>(head_dim);
  while (static_cast<int64_t>(static_cast<double>(head_dim) * factor) < rotated) factor = std::nextafter(factor, 2.0);
  return factor;
}

void require_whole_heads(const Metadata& data) {
  if (data.rotated() == data.head_dim()) return;
  refuse("{}: '{}' is {}, expected the heads' width {}", data.file().path(), data.key("rope.dimension_count"),
         data.rotated(), data.head_dim());
}

/// Keys of every architecture with RMS norms.
void fill_rms_family(const Metadata& data, Json& config) {
  config["hidden_size"] = data.size("embedding_length");
  config["num_hidden_layers"] = data.size("block_count");
  config["intermediate_size"] = data.size("feed_forward_length");
  config["num_attention_heads"] = data.size("attention.head_count");
  config["num_key_value_heads"] = data.size("attention.head_count_kv", data.size("attention.head_count"));
  config["head_dim"] = data.head_dim();
  config["max_position_embeddings"] = data.size("context_length");
  config["rms_norm_eps"] = data.number("attention.layer_norm_rms_epsilon");
  config["rope_theta"] = data.number("rope.freq_base", 10000.0);
  config["attention_bias"] = data.has_tensor("blk.0.attn_q.bias");
  const Json scaling = rope_scaling(data);
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
}

void fill_llama(const Metadata& data, Json& config) {
  require_whole_heads(data);
  fill_rms_family(data, config);
  config["hidden_act"] = "silu";
  config["mlp_bias"] = data.has_tensor("blk.0.ffn_up.bias");
}

void fill_qwen(const Metadata& data, Json& config) {
  require_whole_heads(data);
  fill_rms_family(data, config);
  config["hidden_act"] = "silu";
}

void fill_gemma(const Metadata& data, Json& config) {
  require_whole_heads(data);
  fill_rms_family(data, config);
  config["hidden_act"] = "gelu_pytorch_tanh";
  config["hidden_activation"] = "gelu_pytorch_tanh";
}

/// query_pre_attn_scalar is not in the files: the largest model of each generation, known by its number of layers, has
/// hidden / heads, all others the width of a head.
void fill_query_scalar(const Metadata& data, Json& config, int64_t layers_of_largest) {
  const double given = data.number("attention.scale", 0.0);
  if (given > 0.0) {
    config["query_pre_attn_scalar"] = 1.0 / (given * given);
  } else if (data.size("block_count") == layers_of_largest) {
    config["query_pre_attn_scalar"] = data.size("embedding_length") / data.size("attention.head_count");
  } else {
    config["query_pre_attn_scalar"] = data.head_dim();
  }
}

void fill_gemma2(const Metadata& data, Json& config) {
  fill_gemma(data, config);
  fill_query_scalar(data, config, 46);
  config["attn_logit_softcapping"] = data.number("attn_logit_softcapping", 50.0);
  config["final_logit_softcapping"] = data.number("final_logit_softcapping", 30.0);
  config["sliding_window"] = data.size("attention.sliding_window", 4096);
}

/// The pattern of local layers: a period, or a flag per layer; 6 where the file says nothing.
void fill_window_pattern(const Metadata& data, Json& config) {
  const std::string key = data.key("attention.sliding_window_pattern");
  const auto at = data.file().metadata().find(key);
  if (at == data.file().metadata().end()) {
    config["sliding_window_pattern"] = 6;
  } else if (const auto* flags = std::get_if<std::vector<bool>>(&at->second)) {
    Json types = Json::array();
    for (const bool local : *flags) types.push_back(local ? "sliding_attention" : "full_attention");
    config["layer_types"] = types;
  } else {
    config["sliding_window_pattern"] = data.size("attention.sliding_window_pattern");
  }
}

void fill_gemma3(const Metadata& data, Json& config) {
  fill_gemma(data, config);
  fill_query_scalar(data, config, 62);
  config["rope_local_base_freq"] = data.number("rope.freq_base_swa", 1e4);
  if (data.find_integer("attention.sliding_window").value_or(0) > 0) {
    config["sliding_window"] = data.size("attention.sliding_window");
    fill_window_pattern(data, config);
  } else {
    config["layer_types"] = std::vector<std::string>(static_cast<size_t>(data.size("block_count")), "full_attention");
  }
  const double cap = data.number("final_logit_softcapping", 0.0);
  if (cap > 0.0) config["final_logit_softcapping"] = cap;
}

void fill_phi3(const Metadata& data, Json& config) {
  fill_rms_family(data, config);
  config["hidden_act"] = "silu";
  config["partial_rotary_factor"] = partial_factor(data.rotated(), data.head_dim());
  config["original_max_position_embeddings"] =
      data.size("rope.scaling.original_context_length", data.size("context_length"));
  const int64_t window = data.find_integer("attention.sliding_window").value_or(0);
  if (window > 0) config["sliding_window"] = window;
}

void fill_gpt2(const Metadata& data, Json& config) {
  config["n_embd"] = data.size("embedding_length");
  config["n_layer"] = data.size("block_count");
  config["n_head"] = data.size("attention.head_count");
  config["n_positions"] = data.size("context_length");
  config["n_inner"] = data.size("feed_forward_length");
  config["layer_norm_epsilon"] = data.number("attention.layer_norm_epsilon");
  config["activation_function"] = "gelu_new";
}

void fill_gptneox(const Metadata& data, Json& config) {
  config["hidden_size"] = data.size("embedding_length");
  config["num_hidden_layers"] = data.size("block_count");
  config["intermediate_size"] = data.size("feed_forward_length");
  config["num_attention_heads"] = data.size("attention.head_count");
  config["max_position_embeddings"] = data.size("context_length");
  config["layer_norm_eps"] = data.number("attention.layer_norm_epsilon");
  config["rotary_pct"] = partial_factor(data.rotated(), data.head_dim());
  config["rotary_emb_base"] = data.number("rope.freq_base", 10000.0);
  config["use_parallel_residual"] = data.file().find_flag(data.key("use_parallel_residual")).value_or(true);
  config["attention_bias"] = data.has_tensor("blk.0.attn_qkv.bias");
  config["hidden_act"] = "gelu";
  const Json scaling = rope_scaling(data);
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
}

struct GgufArchitecture {
  const char* name;        // general.architecture
  const char* model_type;  // config.json
  const char* class_name;  // of transformers
  void (*fill)(const Metadata& data, Json& config);
};

constexpr std::array kGgufArchitectures = {
    GgufArchitecture{"llama", "llama", "LlamaForCausalLM", fill_llama},  // mistral files too
    GgufArchitecture{"qwen2", "qwen2", "Qwen2ForCausalLM", fill_qwen},
    GgufArchitecture{"qwen3", "qwen3", "Qwen3ForCausalLM", fill_qwen},
    GgufArchitecture{"gemma", "gemma", "GemmaForCausalLM", fill_gemma},
    GgufArchitecture{"gemma2", "gemma2", "Gemma2ForCausalLM", fill_gemma2},
    GgufArchitecture{"gemma3", "gemma3_text", "Gemma3ForCausalLM", fill_gemma3},
    GgufArchitecture{"phi3", "phi3", "Phi3ForCausalLM", fill_phi3},
    GgufArchitecture{"gpt2", "gpt2", "GPT2LMHeadModel", fill_gpt2},
    GgufArchitecture{"gptneox", "gpt_neox", "GPTNeoXForCausalLM", fill_gptneox},
};

const GgufArchitecture& find_architecture(const GgufFile& file) {
  const std::string name = file.text("general.architecture");
  std::string known;
  for (const GgufArchitecture& row : kGgufArchitectures) {
    if (name == row.name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  refuse("{}: unknown general.architecture '{}'; known: {}", file.path(), name, known);
}

}  // namespace

Json config_from_gguf(const GgufFile& file) {
  const GgufArchitecture& architecture = find_architecture(file);
  const Metadata data(file, architecture.name);
  if (const int64_t experts = data.find_integer("expert_count").value_or(0); experts > 0) {
    refuse("{}: '{}' is {}, mixtures of experts are not supported", file.path(), data.key("expert_count"), experts);
  }
  if (!file.find_flag(data.key("attention.causal")).value_or(true)) {
    refuse("{}: '{}' is false, only causal attention is supported", file.path(), data.key("attention.causal"));
  }
  require_neutral(data, "attention.clamp_kqv", 0.0);
  require_neutral(data, "attention.max_alibi_bias", 0.0);
  const GgufTensor* embedding = data.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    refuse("{}: tensor 'token_embd.weight' is missing or no matrix", file.path());
  }
  Json config = {{"architectures", Json::array({architecture.class_name})},
                 {"model_type", architecture.model_type},
                 {"vocab_size", embedding->shape[0]},
                 {"tie_word_embeddings", !data.has_tensor("output.weight")},
                 {"torch_dtype", "float32"}};
  for (const char* token : {"bos_token_id", "eos_token_id"}) {
    const std::optional<int64_t> id = file.find_integer(std::string("tokenizer.ggml.") + token);
    config[token] = id ? Json(*id) : Json(nullptr);
  }
  architecture.fill(data, config);
  return config;
}

}  // namespace bitloom
