#pragma once
// A graph's weights as the decoder uses them: small vectors decoded once, matrices as row sources, beside them what a
// kernel needs of those that have one.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "forward/input_rounder.h"
#include "forward/layers/norms.h"
#include "io/json.h"
#include "linalg/gemm.h"
#include "model/graph.h"
#include "model/model.h"
#include "ops/packed_linear.h"

namespace bitloom {

/// A linear layer: W behind a RowSource, bias decoded. Null weight: absent.
struct LinearWeights {
  RowSourcePtr weight;
  std::vector<float> bias;                               // [out], or empty
  std::shared_ptr<const PackedLinear> packed = nullptr;  // of `packed_weight`; null: not asked for, or no kernel
  RowSourcePtr packed_weight = nullptr;
  bool present() const { return weight != nullptr; }
  int64_t out() const { return weight->rows(); }
  int64_t in() const { return weight->cols(); }

  /// What a kernel reads for so many rows; null: W is decoded tile by tile. A weight that was exchanged has none.
  const PackedLinear* kernel_for(int64_t rows) const {
    return packed_weight == weight && packed != nullptr && packed->serves(rows) ? packed.get() : nullptr;
  }
};

/// A layer that reads an input, and where its output goes: y [rows, out].
struct LinearReader {
  const LinearWeights* layer;
  float* y;
};

/// What products keep from one to the next.
struct LinearScratch {
  InputBlocks blocks;  // of kernels
  TileScratch tiles;   // of matrices that have none
};

/// Rows [rows, in] that layers read.
struct LayerInput {
  const float* x;
  const float* scales = nullptr;  // [rows], of rows that an InputRounder made of token scales
  bool rotated = false;           // x is what the layers' frames make of their input: of kernels alone
};

/// y = x W^T + b for each of at most kMostReaders layers that read x; all dense. Of scales and rotated rows see
/// PackedLinear::keeps_multiples() and apply().
void apply_layers(std::span<const LinearReader> readers, const LayerInput& input, int64_t rows, LinearScratch& scratch,
                  ThreadPool& threads);

/// The adjoint of y = x W^T with respect to x: dx [rows, in] += dy [rows, out] W. W is decoded kAdjointRows rows at a
/// time, once; the same bytes for any number of threads.
void add_linear_adjoint(const LinearWeights& layer, const float* dy, int64_t rows, float* dx, ThreadPool& threads);
inline constexpr int64_t kAdjointRows = 512;

struct BlockWeights {
  NormWeights attention_norm, post_attention_norm, attention_residual_norm;
  NormWeights mlp_norm, post_mlp_norm, mlp_residual_norm;
  NormWeights q_norm, k_norm, v_norm, q_latent_norm, kv_latent_norm;
  std::vector<float> sinks;        // [heads], or empty
  std::vector<float> choice_bias;  // [experts], or empty
  float output_scale = 1.0f;
  std::vector<LinearWeights> linears;    // of Block::linears
  std::map<int, InputRounder> rounders;  // by index into Block::inputs; the others are read as they are
  std::set<int> rotated;                 // of these the inputs whose readers' kernels take what was rounded as it is
  std::map<Operand, InputRounder> operands;  // of the attention; the others are multiplied as they are
};

/// Everything outside the blocks.
struct OuterWeights {
  RowSourcePtr embedding, positions;  // positions null when not learned
  LinearWeights project_in, project_out, head;
  NormWeights embedding_norm, final_norm;
};

struct ModelWeights : OuterWeights {
  std::vector<BlockWeights> blocks;
};

OuterWeights load_outer_weights(const Model& model);
BlockWeights load_block_weights(const Model& model, int block);
/// With `packing`, matrices that have a kernel are packed. Those whose input has an activation format read it as it is
/// rounded: kernels of 8-bit inputs serve them where they keep that (InputRounder::has_token_scales(),
/// PackedLinear::keeps_multiples()), exact ones elsewhere. Values that are rounded in rotated coordinates they take as
/// they are there where all readers of the input have frames that rotate alike.
ModelWeights load_weights(const Model& model, const std::optional<PackOptions>& packing = std::nullopt);

/// Layers of the blocks whose inputs are rounded, by how what they read is multiplied.
struct RoundedProducts {
  int64_t integers = 0;  // as integers of 8 bits, in passes of one token and of many
  int64_t exact = 0;     // as the fp32 numbers that rounding gave
  int64_t all() const { return integers + exact; }
};
RoundedProducts count_products(const Graph& graph, const ModelWeights& weights);
/// Weights of the blocks' layers by what a prompt, or a pass of more than kFewTokens, multiplies them as; of experts
/// all.
struct PromptWeights {
  int64_t int8 = 0, bf16 = 0;  // by kernels, which round their inputs to it
  int64_t fp32 = 0;            // decoded tile by tile
  int64_t all() const { return int8 + bf16 + fp32; }
};
PromptWeights count_prompt_weights(const ModelWeights& weights);
/// "210 of 210 layers with rounded inputs by integer kernels", or, where these are the fewer, "... by exact products of
/// the rounded values".
std::string to_string(const RoundedProducts& products);
/// {"integers": 210, "exact": 0}
Json to_json(const RoundedProducts& products);

}  // namespace bitloom
