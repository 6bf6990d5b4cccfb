#pragma once
// What the files of this folder are composed of: readers of keys that many architectures share, and the builder of the
// llama family. An architecture's own file holds only its names and switches.

#include <optional>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/block_parts.h"
#include "model/config_reader.h"
#include "model/rope/rope_config.h"

namespace bitloom::arch {

Linear make_linear(const std::string& name, int64_t out, int64_t in, bool bias);
Norm weight_norm(const std::string& name);  // NAME.weight
Norm affine_norm(const std::string& name);  // NAME.weight, NAME.bias

/// The activation under `key`, by transformers' names. Refuses others, listing the supported.
Activation read_activation(const ConfigReader& config, const std::string& key, const std::string& fallback);

/// Keys that change results in ways no architecture here supports: clipping, encoder-decoder, bidirectional attention,
/// foreign quantization.
void refuse_unsupported(const ConfigReader& config);
/// Keys of mixtures of experts, for architectures without them.
void refuse_experts(const ConfigReader& config);

/// Refuses architectures that are known by name and not supported, with what they need; nothing for others.
void refuse_known(const std::string& model_type, const std::string& origin);

/// Number of layers under `key`, with a bound that keeps a lying file from filling the memory.
int64_t read_layers(const ConfigReader& config, const std::string& key);

/// The prefix of `candidates` for which PREFIX + probe is a tensor; the first when none is.
std::string find_prefix(const TensorNames& names, const std::vector<std::string>& candidates, const std::string& probe);

/// Fills head and tied_head. `name` is the untied head's tensor without ".weight".
void set_head(Graph& graph, const ConfigReader& config, const std::string& name, bool tied_by_default);

struct HeadShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};
/// For models whose heads divide the hidden width and all have keys and values of their own.
HeadShape equal_heads(const ConfigReader& config, const std::string& key, int64_t hidden);

/// Per layer, whether its attention is local: from "layer_types" where given (each "full_attention" or
/// "sliding_attention"), else from `local_by_default(layer)`.
std::vector<bool> read_layer_types(const ConfigReader& config, int64_t layers,
                                   bool (*local_by_default)(int64_t, int64_t), int64_t parameter);
/// Layers 1, 2, ... but every `pattern`-th: the usual `local_by_default`.
bool not_last_of_pattern(int64_t layer, int64_t pattern);
/// Refuses "layer_types" that contradict a model whose layers are all alike.
void require_uniform_layers(const ConfigReader& config, int64_t layers, bool local);
/// Sets the window of local layers; refuses local layers without "sliding_window".
void set_windows(Graph& graph, const ConfigReader& config, const std::vector<bool>& local, int64_t window);
/// "sliding_window": `absent` where the key is not there, as of releases before it; 0 for null, which turns it off.
int64_t read_window(const ConfigReader& config, int64_t absent);

/// qwen's windows: with use_sliding_window, layers from max_window_layers on are local unless layer_types says
/// otherwise.
void set_upper_windows(Graph& graph, const ConfigReader& config);

/// Tensors that hold a layer's experts together, each [experts, rows, cols].
struct StackedExperts {
  std::string gate_up, down;   // of the module
  bool interleaved = false;    // rows of gate and up alternate; else all of gate come first
  bool transposed = false;     // the tensors are [experts, cols, rows]
  std::string blocks, scales;  // suffixes of MXFP4 tensors, not transposed, that may stand for these; none: never
  std::string bias = {};       // suffix of [experts, rows]; none: no biases
};

/// Mixtures of experts: which layers have one, of what size, and how their tensors are named.
struct ExpertFamily {
  std::string module = "mlp.";  // of a layer
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  std::string router = "gate", shared = "shared_expert";
  bool shared_gate = true, bias = false;  // bias: of the router and of all experts
  int64_t count = 0, width = 0;
  Experts choice = {};                     // how experts are chosen and weighed; no experts yet
  std::string choice_bias = {};            // the tensor, of the module; none
  int64_t shared_width = 0;                // of the expert that every row goes to; 0: none
  int64_t sparse_step = 1;                 // layer i has experts if i + 1 is a multiple
  std::vector<int32_t> dense_layers = {};  // and i is none of these
  int64_t first_layer = 0;                 // and not before
  int64_t last_layer = -1;                 // and not after this; -1: any
  std::optional<StackedExperts> stacked = {};
};
bool has_experts(const ExpertFamily& family, int64_t layer);
/// The experts chosen per token under `key`, which must be there where `fallback` is 0; refused where they exceed the
/// number of experts.
int64_t read_top_k(const ConfigReader& config, int64_t experts, int64_t fallback,
                   const std::string& key = "num_experts_per_tok");
/// A count that may be 0.
int64_t count_or_zero(const ConfigReader& config, const std::string& key, int64_t fallback);
/// The keys that qwen2_moe and qwen3_moe share, with the defaults that differ.
ExpertFamily qwen_experts(const ConfigReader& config, int64_t experts, int64_t top_k, int64_t width);
/// Keys that deepseek_v2, deepseek_v3 and glm4_moe share: n_routed_experts, n_shared_experts, moe_intermediate_size,
/// routed_scaling_factor, first_k_dense_replace.
ExpertFamily deepseek_experts(const ConfigReader& config, int64_t dense, int64_t experts, int64_t shared, int64_t width,
                              double scale);
/// Choice as in DeepSeek-V3 (arXiv 2412.19437, section 2.1.2): sigmoid scores, a bias for the choice, n_group and
/// topk_group, norm_topk_prob.
void read_biased_choice(const ConfigReader& config, int64_t groups, int64_t top_groups, ExpertFamily& family);
/// n_group and topk_group; refused where they do not divide the experts, or hold fewer than are chosen.
void read_groups(const ConfigReader& config, int64_t groups, int64_t top_groups, int64_t count, Experts& choice);
/// block.mlp's activation must be set.
void add_experts(Graph& graph, Block& block, const std::string& layer, const ConfigReader& config,
                 const TensorNames& names, const ExpertFamily& family);

/// Multi-head latent attention as deepseek_v2 and deepseek_v3 name it.
struct LatentFamily {
  int64_t q_rank = 0;  // 0: queries are projected directly
  int64_t rank = 0, unturned = 0, turned = 0, value_dim = 0;
  bool bias = false;  // of the projections that read or write the residual stream
};
/// q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, attention_bias; both models' defaults.
LatentFamily read_latent_family(const ConfigReader& config);
void add_latent_attention(Block& block, const std::string& module, int64_t hidden, int64_t heads,
                          const LatentFamily& family);
/// Yarn's second scale, of scores (mscale_all_dim); with rotary positions of the architecture.
void set_latent_rope(Graph& graph, const ConfigReader& config, bool interleaved);

/// Config keys of sizes. An empty `width` means four times the hidden size, an empty `kv_heads` the default.
struct SizeKeys {
  std::string hidden = "hidden_size", layers = "num_hidden_layers", heads = "num_attention_heads",
              kv_heads = "num_key_value_heads", width = "intermediate_size", positions = "max_position_embeddings";
};

/// Tensors behind the model's prefix, and modules of a layer. An empty norm is absent; one that is named twice is
/// shared.
struct PartNames {
  std::string embedding = "embed_tokens", embedding_norm = "", layers = "layers.", final_norm = "norm";
  std::string attention = "self_attn.", q = "q_proj", k = "k_proj", v = "v_proj", qkv = "qkv_proj", output = "o_proj",
              q_norm = "", k_norm = "", sinks = "";
  std::string mlp = "mlp.", gate = "gate_proj", up = "up_proj", down = "down_proj", gate_up = "gate_up_proj";
  std::string attention_norm = "input_layernorm", post_attention_norm = "", mlp_norm = "post_attention_layernorm",
              post_mlp_norm = "";
};

/// Switches of decoders whose blocks are attention and an MLP, each with norms before or behind it, one after the other
/// or in parallel.
struct LlamaFamily {
  std::vector<std::string> prefixes = {"model.", ""};
  std::string head = "lm_head";
  SizeKeys keys = {};
  PartNames names = {};
  bool qkv_bias = false, output_bias = false, mlp_bias = false, head_bias = false;
  bool fused_gate_up = false;
  QkvLayout qkv = QkvLayout::kSeparate;
  HeadNorm head_norm = HeadNorm::kShared;
  bool gated = true;  // the MLP
  bool parallel = false;
  NormKind norm = NormKind::kRms;
  bool norm_bias = true;                 // of norms that subtract the mean
  bool bare_norms = false;               // norms have no tensors
  std::string eps_key = "rms_norm_eps";  // "": always the default
  double default_eps = 1e-6;
  Activation activation = Activation::kSilu;
  int64_t default_kv_heads = 0;  // when the key is absent; 0: as many as heads
  int64_t default_head_dim = 0;  // 0: hidden / heads
  int64_t default_positions = 0;
  bool tied_by_default = false;
  std::vector<int32_t> default_bos, default_eos;
  std::optional<ExpertFamily> experts = {};
  std::optional<LatentFamily> latent = {};
  /// Heads of each layer, where they differ; empty: alike, as the keys say.
  std::vector<HeadShape> layer_heads = {};
  std::vector<bool> keys_are_values = {};  // of each layer; empty: of none
};

/// num_attention_heads, num_key_value_heads and head_dim, or what stands for them.
HeadShape read_heads(const ConfigReader& config, int64_t hidden, const LlamaFamily& family);
/// Names of the norms of gemma 2 and 3: before and behind attention and MLP.
void name_four_norms(PartNames& names);
/// Those of olmo 2 and exaone 4: behind attention and MLP alone.
void name_norms_behind(PartNames& names);
/// Those of Megatron's kin (bloom, falcon): h.N.self_attention.query_key_value, mlp.dense_h_to_4h.
void name_megatron_parts(PartNames& names);
/// The first of the keys that the config has; the first of all when it has none.
std::string first_key(const ConfigReader& config, const std::vector<std::string>& keys);

/// The whole graph but rotary embeddings and windows; scale is head_dim^-0.5.
Graph build_llama_family(const ConfigReader& config, const TensorNames& names, const LlamaFamily& family);

/// Of a text model that may lie inside a multimodal one: the prefixes of its tensors, and its head.
std::vector<std::string> text_prefixes();
std::string text_head(const TensorNames& names);
/// text_config, completed by `defaults` of the class and by what the outer document says for both.
Json text_document(const ConfigReader& outer, const Json& defaults);

/// One rotary embedding for all layers.
void set_rope(Graph& graph, const ConfigReader& config, RopeRules rules = {});
/// One for the layers that attend to everything, another for local ones: rope_parameters.full_attention and
/// .sliding_attention. Older files have `theta`, rope_scaling (of the first kind alone) and `local_theta`.
struct KindTheta {
  std::string key;
  double fallback;
};
void set_ropes_by_kind(Graph& graph, const ConfigReader& config, const KindTheta& theta, const KindTheta& local_theta);
/// Takes the rotary embedding from the layers that attend to everything.
void rotate_local_layers_alone(Graph& graph);
/// Slopes of attention's linear biases, for heads h = 1 .. n (Press et al., Train short, test long, 2022): 2^(-8 h / n)
/// for a power of two n; else those of the power of two below, followed by every other one of the next power, as the
/// authors' code has it.
std::vector<float> alibi_slopes(int64_t heads);

/// What gemma, gemma2 and gemma3 share: (1 + w) norms, scaled embeddings, tied head.
LlamaFamily gemma_family(const ConfigReader& config);
/// sqrt(hidden), rounded to the dtype that "torch_dtype" or "dtype" names, as transformers computes it.
void scale_embeddings(Graph& graph, const ConfigReader& config);
/// Scores scaled by query_pre_attn_scalar^-0.5, and both soft caps.
void set_gemma_scores(Graph& graph, const ConfigReader& config, std::optional<double> attention_cap,
                      std::optional<double> final_cap);

/// What olmo2 and olmo3 share: norms behind attention and MLP, and over all heads of q and k.
LlamaFamily olmo2_family(const ConfigReader& config);

/// What cohere and cohere2 share: parallel blocks behind one layer norm without a bias; and scaled logits, interleaved
/// rope.
LlamaFamily cohere_family(const ConfigReader& config);
void set_cohere_rope(Graph& graph, const ConfigReader& config, double default_theta);

/// Multipliers of embeddings, residuals, logits and scores, as granite and granitemoe name them.
void set_granite_scales(Graph& graph, const ConfigReader& config);

/// What glm and glm4 share: gate and up in one matrix; half of each head rotated, in interleaved pairs.
LlamaFamily glm_family(const ConfigReader& config);
void set_glm_rope(Graph& graph, const ConfigReader& config);

}  // namespace bitloom::arch
