#pragma once
// A decoder-only transformer as data: which tensors there are, how they connect, who shares an input. Every supported
// architecture is a value of these types; forward/ executes it, pipeline/ walks it. It knows nothing of quantization.
//
// Tensors are named as in the Hugging Face checkpoint. An empty name means "absent".
//
// What one block computes, h [rows, hidden], r = residual_scale:
//   sequential:  a = post_attention_norm(attention(attention_norm(h)));  h = attention_residual_norm(h + r a)
//                m = post_mlp_norm(mlp(mlp_norm(h)));                    h = mlp_residual_norm(h + r m)
//   parallel:    h = h + r attention(attention_norm(h)) + r mlp(mlp_norm(h))
// where an absent norm is the identity.

#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/activations/activation_format.h"

namespace bitloom {

enum class NormKind {
  kRms,           // x / sqrt(mean x^2 + eps) * w
  kRmsPlusOne,    // x / sqrt(mean x^2 + eps) * (1 + w)   (gemma)
  kLayer,         // (x - mean) / sqrt(var + eps) * w + b
  kLayerPlusOne,  // (x - mean) / sqrt(var + eps) * (1 + w) + b   (nemotron)
};
/// Whether the stored weight is one less than the factor.
bool adds_one(NormKind kind);
/// Whether the norm subtracts the mean.
bool subtracts_mean(NormKind kind);

struct Norm {
  std::string weight, bias;
  bool bare = false;  // no tensor: w = 1 (olmo)
  bool present() const { return bare || !weight.empty(); }
};

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu, kReluSquared };

/// y [rows, out] = x [rows, in] W^T + b.
struct Linear {
  std::string weight, bias;
  int64_t out = 0, in = 0;
  bool stored_in_out = false;  // the file holds W^T as [in, out] (GPT-2's Conv1D)
  // Of a block's linear:
  std::string role = {};  // what recipes call it: "q", "qkv", "gate", "router", "experts.3.down"
  int input = -1;         // index into Block::inputs: what it reads
  bool present() const { return !weight.empty(); }
};

/// What makes the rows of an input.
enum class Producer {
  kAttentionNorm,  // Block::attention_norm; the residual stream itself where that is absent
  kLatent,         // norms of what the readers of kAttentionNorm give: LatentAttention's alone
  kAttention,      // softmax averages of the values
  kMlpNorm,        // Block::mlp_norm; the residual stream itself where that is absent
  kMlp,            // gate and up of an MLP, after the activation
  kRouter,         // those rows of the input that kMlpNorm makes which the router sends to an expert
};

/// A place in a block where activations are read. Statistics, activation formats and absorbable scales belong to it.
struct Input {
  std::string name;   // "attention", "kv_latent", "attention_output", "mlp", "mlp_down", "experts.3.mlp"
  int64_t width = 0;  // channels
  Producer producer = Producer::kAttentionNorm;
  int expert = -1;                // index into Experts::mlps; -1: every row of the block is read
  std::vector<int> readers = {};  // indices into Block::linears
  // What the readers read is rounded to it; nothing: it is read as it is.
  std::optional<ActivationFormat> activations = {};
};

/// How the rows of a fused projection are arranged.
enum class QkvLayout {
  kSeparate,      // three matrices
  kConcatenated,  // one matrix: all q rows, all k rows, all v rows
  kPerHead,       // one matrix: for each key head the rows of its q heads, of k, of v (gpt_neox, falcon)
  kLatent,        // see LatentAttention
};

/// What the norms of queries and of keys are made over.
enum class HeadNorm {
  kShared,   // each head's channels, weights [head_dim] for all (qwen3)
  kOwn,      // each head's channels, weights [heads, head_dim] (cohere)
  kAllHeads  // the channels of all heads together, weights [heads * head_dim] (olmo2)
};

/// Which keys j the query i sees.
enum class Mask {
  kCausal,         // j <= i
  kBidirectional,  // all: encoders; there is no cache of such a sequence, every token changes every other
};

/// Rotary embedding on the first 2 n channels of each head (of a latent one the last), n = inv_freq.size().
///   angle(p, i) = p * inv_freq[i]; cos and sin are multiplied by `attention_factor` (yarn; else 1).
struct Rope {
  std::vector<double> inv_freq;
  double attention_factor = 1.0;
  int64_t max_length = 0;                  // longest sequence that inv_freq serves; 0: any
  std::vector<double> long_inv_freq = {};  // of longer ones (longrope), at every position; empty: they are refused
  bool interleaved = false;                // pairs of channels (2i, 2i + 1); else (i, i + n), "rotate half"
};

/// Queries at position p are multiplied by 1 + beta ln(1 + floor(p / length)) (Llama 4, Ministral 3).
struct QueryScale {
  float beta = 0.0f;  // 0: they are not
  int64_t length = 1;
};

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), x what kAttentionNorm makes, per head:
///   q = Attention::q(q_norm(q_down(x))), or Attention::q(x) where q_down is absent; its last rope_dim channels turn
///   [c, r] = kv_down(x), c [rank], r [rope_dim];  [k, v] = kv_up(kv_norm(c))
///   keys = [k, rope(r)], r the same for all heads; values = v
struct LatentAttention {
  int q_down = -1, kv_down = -1, kv_up = -1;  // indices into Block::linears; q_down -1: absent
  Norm q_norm, kv_norm;                       // RMS
  float norm_eps = 1e-6f;                     // of both
  int64_t rank = 0, rope_dim = 0;
};

/// What attention multiplies, ready for that: queries and keys behind norms and rope, softmax's results. Each can be
/// rounded, as inputs can: queries, keys and values a row for each head of a token, probabilities a row for each query
/// and head, of the keys that it sees.
enum class Operand { kQueries, kKeys, kProbabilities, kValues };
inline constexpr Operand kOperands[] = {Operand::kQueries, Operand::kKeys, Operand::kProbabilities, Operand::kValues};
/// "queries", "keys", "probabilities", "values".
std::string_view name_of(Operand operand);

struct Attention {
  QkvLayout layout = QkvLayout::kSeparate;
  // Indices into Block::linears; -1: absent. A fused layout uses q alone, with out = all rows. Three matrices without
  // v: values are what k gives, before its norm (gemma4).
  int q = -1, k = -1, v = -1, output = -1;
  LatentAttention latent;  // of that layout; there are as many key heads as heads then
  float clip = 0.0f;       // q, k and v are clamped to [-clip, clip] (olmo, mpt); 0: off
  Norm q_norm, k_norm;     // kind = Graph::norm
  HeadNorm head_norm = HeadNorm::kShared;
  bool norm_values = false;       // values are divided by their root mean square over each head (gemma4)
  bool rope_before_norm = false;  // hunyuan; else the norms come first
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;  // channels of a head's values; 0: head_dim
  float scale = 1.0f;     // scores = scale * q k^T
  float softcap = 0.0f;   // scores = cap * tanh(scores / cap); 0: off
  Mask mask = Mask::kCausal;
  std::vector<float> alibi = {};  // slopes m [heads]: scores = scale * q k^T + m (j - i), before the cap; empty: none
  int64_t window = 0;             // with one, key j is seen by query i only when |i - j| < window; 0: none
  int rope = -1;                  // index into Graph::ropes; -1: none
  QueryScale query_scale = {};
  std::string sinks;  // [heads]: a score that each softmax sees besides, of a key without a value (gpt_oss)
  std::array<std::optional<ActivationFormat>, std::size(kOperands)> operands = {};  // nothing: as it is

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
  const std::optional<ActivationFormat>& format_of(Operand operand) const {
    return operands[static_cast<size_t>(operand)];
  }
  /// Of the operand's rows; 0 of probabilities, whose rows grow.
  int64_t width_of(Operand operand) const {
    return operand == Operand::kProbabilities ? 0 : operand == Operand::kValues ? values() : head_dim;
  }
};

struct Mlp {
  // gated: down(act(gate(x)) * up(x)); otherwise down(act(up(x))).
  // clamp c > 0, of a gated one: down(g sigmoid(gate_slope g) (u + 1)), g = min(gate(x), c), u = up(x) held to [-c, c]
  // fused_gate_up: `gate` alone is present, its rows are gate's then up's.
  bool gated = false, fused_gate_up = false;
  Activation activation = Activation::kSilu;
  int gate = -1, up = -1, down = -1;  // indices into Block::linears; -1: absent
  int64_t width = 0;                  // columns of `down`
  float clamp = 0.0f, gate_slope = 1.0f;
  bool present() const { return down >= 0; }
};

/// What a router's outputs l become.
enum class RouterScore {
  kSoftmax,      // softmax(l) over all experts
  kSigmoid,      // sigmoid(l_e)
  kSparseMixer,  // see Experts
};

/// A mixture of experts beside or instead of a block's Mlp, x the input that Producer::kMlpNorm makes:
///   p = score(router(x)); T: the top_k experts of greatest p + choice_bias, of equal ones the first, among those of
///   the top_groups groups (of `groups` runs of equally many experts) whose `group_best` greatest of these sum to most
///   y = sum over e in T of weight_scale * p_e / (normalized ? max(sum over T of p, least_sum) : 1) * mlps[e](x)
///       + (shared_gate present ? sigmoid(shared_gate(x)) : 1) * mlp(x)
/// kSparseMixer (arXiv 2409.12136, at inference) chooses the expert t of greatest l among those left, top_k times; its
/// p is softmax(l)_t over those of them with (l_t - l_e) / max(|l_e|, l_t) <= mixer_margin.
struct Experts {
  std::vector<Mlp> mlps;  // each of one shape
  int router = -1;        // index into Block::linears, [experts, hidden]
  int64_t top_k = 0;
  RouterScore score = RouterScore::kSoftmax;
  bool normalized = false;
  float least_sum = 0.0f, weight_scale = 1.0f, mixer_margin = 0.0f;
  std::string choice_bias;  // [experts]; absent: 0
  int64_t groups = 1, top_groups = 1, group_best = 1;
  int shared_gate = -1;  // index into Block::linears, [1, hidden]; -1: absent
  bool present() const { return !mlps.empty(); }
};

struct Block {
  // In the order of execution. Neighbouring inputs of one producer are reached together: none of them depends on
  // what reads another.
  std::vector<Input> inputs;
  std::vector<Linear> linears;  // of the first input, of the second, ...
  Norm attention_norm, post_attention_norm, attention_residual_norm;
  Norm mlp_norm, post_mlp_norm, mlp_residual_norm;
  Attention attention;
  Mlp mlp;          // of every row; absent when there are experts alone
  Experts experts;  // each of its rows only
  bool parallel = false;
  std::string output_scale;  // [1]: the stream behind the block is multiplied by it (gemma4); absent: 1
};

/// Where a tensor of the graph lies that the checkpoint holds together with those of other experts.
struct TensorSlice {
  std::string tensor;          // the checkpoint's; its values are [experts, rows, cols], or of vectors [experts, rows]
  std::vector<int64_t> shape;  // of these values
  int64_t expert = 0;
  int64_t first = 0, step = 1, count = 0;  // `count` rows of the expert's: first, first + step, ...
  bool transposed = false;                 // the tensor is [experts, cols, rows]
  // Not empty: `tensor` holds MXFP4 blocks, bytes [experts, rows, cols / 32, 16], and this their scales, bytes
  // [experts, rows, cols / 32].
  std::string scales = {};
};

struct Graph {
  std::string architecture;  // model_type: "llama"
  int64_t vocab_size = 0, hidden = 0, max_positions = 0;
  std::string embedding;           // [vocab, embedding_width]
  float embedding_scale = 1.0f;    // gemma: sqrt(hidden), rounded to the checkpoint's dtype
  std::string position_embedding;  // learned positions [rows, hidden]; absent: rotary or none
  int64_t position_offset = 0;     // row = position + offset (opt: 2)
  Norm embedding_norm;             // of the sum of both (bloom)
  Linear project_in, project_out;  // opt-350m: embedding_width != hidden
  NormKind norm = NormKind::kRms;
  float norm_eps = 1e-5f;
  float residual_scale = 1.0f;  // granite: what blocks add is multiplied by it
  std::vector<Rope> ropes;
  std::vector<Block> blocks;
  Norm final_norm;
  Linear head;  // logits; its weight is `embedding` when tied
  bool tied_head = false;
  float logit_scale = 1.0f;    // cohere, granite
  float logit_softcap = 0.0f;  // behind the scale; 0: off
  // By the graph's names; where a checkpoint has a tensor of that very name, this is taken.
  std::map<std::string, TensorSlice> slices;
  std::vector<int32_t> bos_ids, eos_ids;
};

/// Appends an input or one of its readers to the block; returns its index.
int add_input(Block& block, Input input);
int add_linear(Block& block, int input, Linear linear, std::string role);

int input_count(const Graph& graph, int block);
const Input& input_at(const Graph& graph, int block, int input);
/// Whether the input is the first that its producer makes: inputs of one producer, as those of experts, are made
/// together.
bool begins_step(const Block& block, int input);
/// "blocks.3.mlp_down": the input's place, for files and messages.
std::string input_place(const Graph& graph, int block, int input);
/// "blocks.3.keys".
std::string operand_place(int block, Operand operand);
/// Why the operand's rows cannot have the format, "" when they can: a range for all tokens of a pass, which a cache
/// does not have together, or one to be found by calibration, which looks at inputs alone; a rotation of probabilities.
std::string bad_operand_format(Operand operand, const ActivationFormat& format);

/// A linear layer's place. Sites of one block with equal `input` read the same activations. The graph must outlive it.
struct Site {
  int block = 0;
  int input = 0;         // index into Block::inputs
  int linear_index = 0;  // index into Block::linears
  const Linear* linear = nullptr;
  const Input* reads = nullptr;
};

/// Every linear site of the blocks, in the order of execution (q, k, v, output, gate, up, down; a parallel block runs
/// output after up; a latent q without q_down is with kv_down).
std::vector<Site> linear_sites(const Graph& graph);
std::vector<Site> linear_sites(const Graph& graph, int block);

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;  // as stored in the checkpoint
};
/// Every tensor that the graph names, with the shape it must have, each once.
std::vector<ExpectedTensor> expected_tensors(const Graph& graph);

/// Parameters of the model, a tied head counted once. Needs no weights.
int64_t parameter_count(const Graph& graph);

}  // namespace bitloom
