#include "model/gguf/gguf_families.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "model/gguf/gguf_rope.h"

namespace bitloom {
namespace {

/// What config.json calls the sizes of a model; "" for what it does not have.
struct ShapeKeys {
  const char* hidden = "hidden_size";
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* width = "intermediate_size";
  const char* positions = "max_position_embeddings";
};

void fill_shape(const GgufMetadata& data, Json& config, const ShapeKeys& keys = {}) {
  const std::pair<const char*, const char*> sizes[] = {{keys.hidden, "embedding_length"},
                                                       {keys.layers, "block_count"},
                                                       {keys.heads, "attention.head_count"},
                                                       {keys.width, "feed_forward_length"},
                                                       {keys.positions, "context_length"}};
  for (const auto& [key, in_file] : sizes) {
    if (*key != 0) config[key] = data.size(in_file);
  }
}

void fill_rope(const GgufMetadata& data, Json& config, const char* base = "rope_theta") {
  config[base] = data.number("rope.freq_base", 10000.0);
  const Json scaling = rope_scaling(data);
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
}

/// Sizes and rotary settings, under llama's keys.
void fill_sizes(const GgufMetadata& data, Json& config) {
  fill_shape(data, config);
  fill_rope(data, config);
  config["num_key_value_heads"] = data.size("attention.head_count_kv", data.size("attention.head_count"));
  config["head_dim"] = data.head_dim();
  config["attention_bias"] = data.has_tensor("blk.0.attn_q.bias");
}

void fill_rms_family(const GgufMetadata& data, Json& config) {
  fill_sizes(data, config);
  config["rms_norm_eps"] = data.number("attention.layer_norm_rms_epsilon");
}

/// Those of which all channels of a head turn.
void fill_turned_family(const GgufMetadata& data, Json& config) {
  require_whole_heads(data);
  fill_rms_family(data, config);
}

/// Those with layer norms, whose epsilon config.json has under `eps`.
void fill_layer_family(const GgufMetadata& data, Json& config, const char* eps) {
  fill_sizes(data, config);
  config[eps] = data.number("attention.layer_norm_epsilon");
}

void fill_partial(const GgufMetadata& data, Json& config) { config["partial_rotary_factor"] = partial_factor(data); }

void fill_llama(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  config["hidden_act"] = "silu";
  config["mlp_bias"] = data.has_tensor("blk.0.ffn_up.bias");
}

void fill_qwen(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  config["hidden_act"] = "silu";
}

void fill_gemma(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  config["hidden_act"] = "gelu_pytorch_tanh";
  config["hidden_activation"] = "gelu_pytorch_tanh";
}

/// query_pre_attn_scalar is not in the files: the largest model of each generation, known by its number of layers, has
/// hidden / heads, all others the width of a head.
void fill_query_scalar(const GgufMetadata& data, Json& config, int64_t layers_of_largest) {
  const double given = data.number("attention.scale", 0.0);
  if (given > 0.0) {
    config["query_pre_attn_scalar"] = 1.0 / (given * given);
  } else if (data.size("block_count") == layers_of_largest) {
    config["query_pre_attn_scalar"] = data.size("embedding_length") / data.size("attention.head_count");
  } else {
    config["query_pre_attn_scalar"] = data.head_dim();
  }
}

void fill_gemma2(const GgufMetadata& data, Json& config) {
  fill_gemma(data, config);
  fill_query_scalar(data, config, 46);
  config["attn_logit_softcapping"] = data.number("attn_logit_softcapping", 50.0);
  config["final_logit_softcapping"] = data.number("final_logit_softcapping", 30.0);
  config["sliding_window"] = data.size("attention.sliding_window", 4096);
}

/// The pattern of local layers: a period, or a flag per layer; 6 where the file says nothing.
void fill_window_pattern(const GgufMetadata& data, Json& config) {
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

void fill_gemma3(const GgufMetadata& data, Json& config) {
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

void fill_phi3(const GgufMetadata& data, Json& config) {
  fill_rms_family(data, config);
  config["hidden_act"] = "silu";
  fill_partial(data, config);
  config["original_max_position_embeddings"] =
      data.size("rope.scaling.original_context_length", data.size("context_length"));
  const int64_t window = data.find_integer("attention.sliding_window").value_or(0);
  if (window > 0) config["sliding_window"] = window;
}

void fill_gpt2(const GgufMetadata& data, Json& config) {
  fill_shape(data, config, {"n_embd", "n_layer", "n_head", "n_inner", "n_positions"});
  config["layer_norm_epsilon"] = data.number("attention.layer_norm_epsilon");
  config["activation_function"] = "gelu_new";
}

void fill_gptneox(const GgufMetadata& data, Json& config) {
  fill_shape(data, config);
  fill_rope(data, config, "rotary_emb_base");
  config["layer_norm_eps"] = data.number("attention.layer_norm_epsilon");
  config["rotary_pct"] = partial_factor(data);
  config["use_parallel_residual"] = data.file().find_flag(data.key("use_parallel_residual")).value_or(true);
  config["attention_bias"] = data.has_tensor("blk.0.attn_qkv.bias");
  config["hidden_act"] = "gelu";
}

/// A window where the file has one, and which layers are local; null without.
void fill_window(const GgufMetadata& data, Json& config) {
  config["sliding_window"] = nullptr;
  if (data.find_integer("attention.sliding_window").value_or(0) <= 0) return;
  config["sliding_window"] = data.size("attention.sliding_window");
  fill_window_pattern(data, config);
}

void fill_granite(const GgufMetadata& data, Json& config) {
  fill_llama(data, config);
  config["embedding_multiplier"] = data.number("embedding_scale", 1.0);
  config["residual_multiplier"] = data.number("residual_scale", 1.0);
  config["logits_scaling"] = data.number("logit_scale", 1.0);
  config["attention_multiplier"] =
      data.number("attention.scale", 1.0 / std::sqrt(static_cast<double>(data.head_dim())));
}

void fill_olmo(const GgufMetadata& data, Json& config) {
  fill_sizes(data, config);
  require_neutral(data, "attention.layer_norm_epsilon", 1e-5);
  if (const double clip = data.number("attention.clamp_kqv", 0.0); clip > 0.0) config["clip_qkv"] = clip;
}

/// Files of olmo 3 are files of olmo2 with windows.
void fill_olmo2(const GgufMetadata& data, Json& config) {
  fill_rms_family(data, config);
  if (data.find_integer("attention.sliding_window").value_or(0) <= 0) return;
  fill_window(data, config);
  config["model_type"] = "olmo3";
  config["architectures"] = {"Olmo3ForCausalLM"};
}

void fill_squared_relu(const GgufMetadata& data, Json& config) {
  config["hidden_act"] = "relu2";
  config["mlp_bias"] = data.has_tensor("blk.0.ffn_up.bias");
}

void fill_arcee(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  fill_squared_relu(data, config);
}

void fill_nemotron(const GgufMetadata& data, Json& config) {
  fill_layer_family(data, config, "norm_eps");
  fill_partial(data, config);
  fill_squared_relu(data, config);
}

void fill_phi2(const GgufMetadata& data, Json& config) {
  fill_layer_family(data, config, "layer_norm_eps");
  fill_partial(data, config);
  config["hidden_act"] = "gelu_new";
}

void fill_command_r(const GgufMetadata& data, Json& config) {
  fill_layer_family(data, config, "layer_norm_eps");
  config["logit_scale"] = data.number("logit_scale");
  config["use_qk_norm"] = data.has_tensor("blk.0.attn_q_norm.weight");
}

/// Every fourth layer is global, which the files do not say.
void fill_cohere2(const GgufMetadata& data, Json& config) {
  fill_command_r(data, config);
  require_whole_heads(data);
  config["sliding_window"] = data.size("attention.sliding_window");
}

void fill_glm(const GgufMetadata& data, Json& config) {
  fill_rms_family(data, config);
  fill_partial(data, config);
}

void fill_exaone4(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  fill_window(data, config);
}

/// The multiplier of yarn's logarithm is mscale_all_dim, and mscale is equal to it: cos and sin are not scaled.
void fill_ministral3(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  Json rope = config["rope_scaling"];
  config.erase("rope_scaling");
  rope["rope_theta"] = config["rope_theta"];
  rope["llama_4_scaling_beta"] = data.number("attention.temperature_scale");
  const double mscale = data.number("rope.scaling.yarn_log_multiplier", 0.0);
  if (mscale != 0.0) rope["mscale"] = rope["mscale_all_dim"] = mscale;
  config["rope_parameters"] = rope;
}

void fill_seed_oss(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  config["attention_out_bias"] = data.has_tensor("blk.0.attn_output.bias");
}

void fill_ernie4_5(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  config["use_bias"] = data.has_tensor("blk.0.attn_q.bias");
}

/// The files do not tell of windows, and llama.cpp has none for them.
void fill_starcoder2(const GgufMetadata& data, Json& config) {
  require_whole_heads(data);
  fill_layer_family(data, config, "norm_epsilon");
  config["sliding_window"] = nullptr;
  config["use_bias"] = data.has_tensor("blk.0.attn_q.bias");
}

void fill_stablelm(const GgufMetadata& data, Json& config) {
  fill_layer_family(data, config, "layer_norm_eps");
  fill_partial(data, config);
  config["use_qkv_bias"] = data.has_tensor("blk.0.attn_q.bias");
  config["use_parallel_residual"] = data.file().find_flag(data.key("use_parallel_residual")).value_or(false);
  config["qk_layernorm"] = data.has_tensor("blk.0.attn_q_norm.weight");
}

void fill_falcon(const GgufMetadata& data, Json& config) {
  require_whole_heads(data);
  fill_layer_family(data, config, "layer_norm_epsilon");
  const bool two_norms = data.has_tensor("blk.0.attn_norm_2.weight");
  const int64_t kv_heads = data.size("attention.head_count_kv", 1);
  config["ffn_hidden_size"] = data.size("feed_forward_length");
  config["num_kv_heads"] = kv_heads;
  config["new_decoder_architecture"] = two_norms || kv_heads > 1;
  if (two_norms || kv_heads > 1) config["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
  config["bias"] = data.has_tensor("blk.0.attn_qkv.bias");
}

void fill_bloom(const GgufMetadata& data, Json& config) {
  fill_shape(data, config, {"hidden_size", "n_layer", "n_head", "", "seq_length"});
  config["layer_norm_epsilon"] = data.number("attention.layer_norm_epsilon");
}

void fill_mpt(const GgufMetadata& data, Json& config) {
  fill_shape(data, config, {"d_model", "n_layers", "n_heads", "", "max_seq_len"});
  config["layer_norm_epsilon"] = data.number("attention.layer_norm_epsilon");
  Json attention = {{"alibi", data.number("attention.max_alibi_bias", 0.0) > 0.0}};
  if (attention["alibi"]) attention["alibi_bias_max"] = static_cast<int64_t>(data.number("attention.max_alibi_bias"));
  if (const double clip = data.number("attention.clamp_kqv", 0.0); clip > 0.0) attention["clip_qkv"] = clip;
  config["attn_config"] = attention;
}

/// Of a mixture of experts; `count` and `chosen` are the architecture's keys.
void fill_experts(const GgufMetadata& data, Json& config, const char* count,
                  const char* chosen = "num_experts_per_tok") {
  config[count] = data.size("expert_count");
  config[chosen] = data.size("expert_used_count");
}

void fill_mixtral(const GgufMetadata& data, Json& config) {
  fill_llama(data, config);
  fill_experts(data, config, "num_local_experts");
}

void fill_qwen2_moe(const GgufMetadata& data, Json& config) {
  fill_qwen(data, config);
  fill_experts(data, config, "num_experts");
  config["qkv_bias"] = config["attention_bias"];
  config["moe_intermediate_size"] = data.size("expert_feed_forward_length");
  config["shared_expert_intermediate_size"] = data.size("expert_shared_feed_forward_length");
  config["norm_topk_prob"] = false;
}

void fill_qwen3_moe(const GgufMetadata& data, Json& config) {
  fill_qwen(data, config);
  fill_experts(data, config, "num_experts");
  config["moe_intermediate_size"] = data.size("expert_feed_forward_length");
  config["norm_topk_prob"] = true;
}

void fill_olmoe(const GgufMetadata& data, Json& config) {
  fill_qwen(data, config);
  fill_experts(data, config, "num_experts");
  config["norm_topk_prob"] = false;
}

void fill_granite_moe(const GgufMetadata& data, Json& config) {
  fill_granite(data, config);
  config.erase("mlp_bias");
  fill_experts(data, config, "num_local_experts");
}

void fill_gpt_oss(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  fill_experts(data, config, "num_local_experts");
  config["hidden_act"] = "silu";
  config["intermediate_size"] = data.size("expert_feed_forward_length");
  config["sliding_window"] = data.size("attention.sliding_window", 128);
  if (config.contains("rope_scaling")) config["rope_scaling"]["truncate"] = false;
}

/// Of those whose experts come after dense layers, beside shared ones. The file's choice must be `function`: 1 softmax,
/// 2 sigmoid.
void fill_routed_experts(const GgufMetadata& data, Json& config, int64_t function) {
  const int64_t given = data.find_integer("expert_gating_func").value_or(function);
  if (given != function) {
    refuse("{}: '{}' is {}, supported: {}", data.file().path(), data.key("expert_gating_func"), given, function);
  }
  fill_experts(data, config, "n_routed_experts");
  config["moe_intermediate_size"] = data.size("expert_feed_forward_length");
  config["n_shared_experts"] = data.size_or_zero("expert_shared_count");
  config["first_k_dense_replace"] = data.size_or_zero("leading_dense_block_count");
  config["routed_scaling_factor"] = data.number("expert_weights_scale", 1.0);
  config["n_group"] = data.size("expert_group_count", 1);
  config["topk_group"] = data.size("expert_group_used_count", 1);
}

constexpr int64_t kSoftmax = 1, kSigmoid = 2;

void fill_glm4_moe(const GgufMetadata& data, Json& config) {
  fill_rms_family(data, config);
  fill_routed_experts(data, config, kSigmoid);
  config["hidden_act"] = "silu";
  config["num_hidden_layers"] = data.size("block_count") - data.size_or_zero("nextn_predict_layers");
  config["norm_topk_prob"] = data.file().find_flag(data.key("expert_weights_norm")).value_or(true);
  fill_partial(data, config);
  config["use_qk_norm"] = data.has_tensor("blk.0.attn_q_norm.weight");
}

void fill_ernie_moe(const GgufMetadata& data, Json& config) {
  fill_turned_family(data, config);
  fill_experts(data, config, "moe_num_experts", "moe_k");
  config["hidden_act"] = "silu";
  config["moe_intermediate_size"] = data.size("expert_feed_forward_length");
  config["moe_num_shared_experts"] = data.size_or_zero("expert_shared_count");
  config["moe_layer_start_index"] = data.size_or_zero("leading_dense_block_count");
  config["moe_layer_interval"] = data.size("interleave_moe_layer_step", 1);
}

/// Widths of latent attention: files with attn_k_b and attn_v_b have keys "_mla" for them, those with attn_kv_b not.
void fill_latents(const GgufMetadata& data, Json& config) {
  const int64_t q_rank = data.size_or_zero("attention.q_lora_rank");
  config["q_lora_rank"] = q_rank > 0 ? Json(q_rank) : Json(nullptr);
  config["kv_lora_rank"] = data.size("attention.kv_lora_rank");
  const int64_t turned = data.size("rope.dimension_count");
  const int64_t keys = data.size("attention.key_length_mla", data.size("attention.key_length"));
  if (turned >= keys) {
    refuse("{}: '{}' is {}, expected less than the {} channels of a key", data.file().path(),
           data.key("rope.dimension_count"), turned, keys);
  }
  config["qk_rope_head_dim"] = turned;
  config["qk_nope_head_dim"] = keys - turned;
  config["v_head_dim"] = data.size("attention.value_length_mla", data.size("attention.value_length"));
}

void fill_deepseek(const GgufMetadata& data, Json& config) {
  fill_shape(data, config);
  config["rms_norm_eps"] = data.number("attention.layer_norm_rms_epsilon");
  config["rope_theta"] = data.number("rope.freq_base", 10000.0);
  config["hidden_act"] = "silu";
  fill_latents(data, config);
  // Without the key it is DeepSeek-V2.
  const bool sigmoid = data.find_integer("expert_gating_func").value_or(kSoftmax) == kSigmoid;
  fill_routed_experts(data, config, sigmoid ? kSigmoid : kSoftmax);
  config["norm_topk_prob"] = data.file().find_flag(data.key("expert_weights_norm")).value_or(sigmoid);
  if (sigmoid) {
    config["model_type"] = "deepseek_v3";
    config["architectures"] = {"DeepseekV3ForCausalLM"};
  } else if (config["n_group"] != 1) {
    config["topk_method"] = "group_limited_greedy";
  }
  // The file's multiplier is 0.1 * mscale_all_dim, and the published models' mscale equals that.
  Json scaling = rope_scaling(data);
  if (scaling.is_null()) return;
  const double all_dim = shortest_decimal(10.0 * data.number("rope.scaling.yarn_log_multiplier", 0.0));
  if (all_dim != 0.0) scaling["mscale"] = scaling["mscale_all_dim"] = all_dim;
  config["rope_scaling"] = scaling;
}

constexpr std::array kArchitecturesOfGguf = {
    GgufArchitecture{"llama", "llama", "LlamaForCausalLM", fill_llama},  // mistral files too
    GgufArchitecture{"qwen2", "qwen2", "Qwen2ForCausalLM", fill_qwen},
    GgufArchitecture{"qwen3", "qwen3", "Qwen3ForCausalLM", fill_qwen},
    GgufArchitecture{"gemma", "gemma", "GemmaForCausalLM", fill_gemma},
    GgufArchitecture{"gemma2", "gemma2", "Gemma2ForCausalLM", fill_gemma2},
    GgufArchitecture{"gemma3", "gemma3_text", "Gemma3ForCausalLM", fill_gemma3},
    GgufArchitecture{"phi3", "phi3", "Phi3ForCausalLM", fill_phi3},
    GgufArchitecture{"gpt2", "gpt2", "GPT2LMHeadModel", fill_gpt2},
    GgufArchitecture{"gptneox", "gpt_neox", "GPTNeoXForCausalLM", fill_gptneox},
    GgufArchitecture{"smollm3", "smollm3", "SmolLM3ForCausalLM", fill_llama},
    GgufArchitecture{"olmo", "olmo", "OlmoForCausalLM", fill_olmo, "attention.clamp_kqv"},
    GgufArchitecture{"olmo2", "olmo2", "Olmo2ForCausalLM", fill_olmo2},
    GgufArchitecture{"granite", "granite", "GraniteForCausalLM", fill_granite},
    GgufArchitecture{"phi2", "phi", "PhiForCausalLM", fill_phi2},
    GgufArchitecture{"command-r", "cohere", "CohereForCausalLM", fill_command_r},
    GgufArchitecture{"cohere2", "cohere2", "Cohere2ForCausalLM", fill_cohere2},
    GgufArchitecture{"chatglm", "glm", "GlmForCausalLM", fill_glm},
    GgufArchitecture{"glm4", "glm4", "Glm4ForCausalLM", fill_glm},
    GgufArchitecture{"exaone4", "exaone4", "Exaone4ForCausalLM", fill_exaone4},
    GgufArchitecture{"mistral3", "ministral3", "Ministral3ForCausalLM", fill_ministral3,
                     "rope.scaling.yarn_log_multiplier"},
    GgufArchitecture{"seed_oss", "seed_oss", "SeedOssForCausalLM", fill_seed_oss},
    GgufArchitecture{"arcee", "arcee", "ArceeForCausalLM", fill_arcee},
    GgufArchitecture{"nemotron", "nemotron", "NemotronForCausalLM", fill_nemotron},
    GgufArchitecture{"ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM", fill_ernie4_5},
    GgufArchitecture{"hunyuan-dense", "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", fill_turned_family},
    GgufArchitecture{"starcoder2", "starcoder2", "Starcoder2ForCausalLM", fill_starcoder2},
    GgufArchitecture{"stablelm", "stablelm", "StableLmForCausalLM", fill_stablelm},
    GgufArchitecture{"falcon", "falcon", "FalconForCausalLM", fill_falcon},
    GgufArchitecture{"bloom", "bloom", "BloomForCausalLM", fill_bloom},
    GgufArchitecture{"mpt", "mpt", "MptForCausalLM", fill_mpt, "attention.clamp_kqv attention.max_alibi_bias"},
};

constexpr std::array kMixturesOfGguf = {
    GgufArchitecture{"llama", "mixtral", "MixtralForCausalLM", fill_mixtral},
    GgufArchitecture{"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", fill_qwen2_moe},
    GgufArchitecture{"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", fill_qwen3_moe},
    GgufArchitecture{"olmoe", "olmoe", "OlmoeForCausalLM", fill_olmoe},
    GgufArchitecture{"granitemoe", "granitemoe", "GraniteMoeForCausalLM", fill_granite_moe},
    GgufArchitecture{"gpt-oss", "gpt_oss", "GptOssForCausalLM", fill_gpt_oss},
    GgufArchitecture{"deepseek2", "deepseek_v2", "DeepseekV2ForCausalLM", fill_deepseek,
                     "rope.scaling.yarn_log_multiplier"},
    GgufArchitecture{"glm4moe", "glm4_moe", "Glm4MoeForCausalLM", fill_glm4_moe},
    GgufArchitecture{"ernie4_5-moe", "ernie4_5_moe", "Ernie4_5_MoeForCausalLM", fill_ernie_moe},
};

}  // namespace

std::span<const GgufArchitecture> gguf_architectures() { return kArchitecturesOfGguf; }
std::span<const GgufArchitecture> gguf_mixtures() { return kMixturesOfGguf; }

}  // namespace bitloom
