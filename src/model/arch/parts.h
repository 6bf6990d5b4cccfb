#pragma once
// What the files of this folder are composed of: readers of keys that many architectures share, and the builder of the
// llama family. An architecture's own file holds only its names and switches.

#include <optional>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/block_parts.h"
#include "model/config_reader.h"
#include "model/rope_config.h"

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
/// Refuses "layer_types" that contradict a model whose layers are all alike.
void require_uniform_layers(const ConfigReader& config, int64_t layers, bool local);
/// Sets the window of local layers; refuses local layers without "sliding_window".
void set_windows(Graph& graph, const ConfigReader& config, const std::vector<bool>& local, int64_t window);

/// qwen's windows: with use_sliding_window, layers from max_window_layers on are local unless layer_types says
/// otherwise.
void set_upper_windows(Graph& graph, const ConfigReader& config);

/// Mixtures of experts: which layers have one, of what size, and how their tensors are named.
struct ExpertFamily {
  std::string module = "mlp.";  // of a layer
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  int64_t count = 0, width = 0, top_k = 0;
  bool normalized = false;
  int64_t shared_width = 0;                // of the expert that every row goes to; 0: none
  int64_t sparse_step = 1;                 // layer i has experts if i + 1 is a multiple
  std::vector<int32_t> dense_layers = {};  // and i is none of these
};
bool has_experts(const ExpertFamily& family, int64_t layer);
/// num_experts_per_tok; refused where it exceeds the number of experts.
int64_t read_top_k(const ConfigReader& config, int64_t experts, int64_t fallback);
/// The keys that qwen2_moe and qwen3_moe share, with the defaults that differ.
ExpertFamily qwen_experts(const ConfigReader& config, int64_t experts, int64_t top_k, int64_t width);
/// block.mlp's activation must be set.
void add_experts(Block& block, const std::string& layer, int64_t hidden, const ExpertFamily& family);

/// Switches of llama, mistral, qwen, gemma, phi3, starcoder2, stablelm: sequential blocks, norms, MLP, rotary
/// positions.
struct LlamaFamily {
  std::vector<std::string> prefixes = {"model.", ""};
  std::string head = "lm_head";
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;     // self_attn.{q,k}_norm
  bool fused = false;       // qkv_proj and gate_up_proj
  bool four_norms = false;  // gemma 2 and 3: norms before and after attention and MLP
  bool gated = true;        // the MLP
  std::string up = "up_proj", down = "down_proj";
  NormKind norm = NormKind::kRms;  // kLayer: every norm has a bias
  std::string eps_key = "rms_norm_eps";
  double default_eps = 1e-6;
  Activation activation = Activation::kSilu;
  int64_t default_kv_heads = 0;  // when the key is absent; 0: as many as heads
  int64_t default_head_dim = 0;  // 0: hidden / heads
  int64_t default_positions = 0;
  bool tied_by_default = false;
  std::vector<int32_t> default_bos, default_eos;
  std::optional<ExpertFamily> experts = {};
};

/// The whole graph but rotary embeddings and windows; scale is head_dim^-0.5.
Graph build_llama_family(const ConfigReader& config, const TensorNames& names, const LlamaFamily& family);

/// One rotary embedding for all layers.
void set_rope(Graph& graph, const ConfigReader& config, RopeRules rules = {});

/// What gemma, gemma2 and gemma3 share: (1 + w) norms, scaled embeddings, tied head.
LlamaFamily gemma_family(const ConfigReader& config);
/// sqrt(hidden), rounded to the dtype that "torch_dtype" or "dtype" names, as transformers computes it.
void scale_embeddings(Graph& graph, const ConfigReader& config);
/// Scores scaled by query_pre_attn_scalar^-0.5, and both soft caps.
void set_gemma_scores(Graph& graph, const ConfigReader& config, std::optional<double> attention_cap,
                      std::optional<double> final_cap);

}  // namespace bitloom::arch
