#pragma once
// A graph's weights as the decoder uses them: small vectors decoded once, matrices as row sources.

#include <cstdint>
#include <vector>

#include "base/row_source.h"
#include "base/threads.h"
#include "forward/norms.h"
#include "model/checkpoint.h"
#include "model/graph.h"

namespace bitloom {

/// A linear layer: W behind a RowSource, bias decoded. Null weight: absent.
struct LinearWeights {
  RowSourcePtr weight;
  std::vector<float> bias;  // [out], or empty
  bool present() const { return weight != nullptr; }
  int64_t out() const { return weight->rows(); }
  int64_t in() const { return weight->cols(); }

  /// y [rows, out] = x [rows, in] W^T + b, both dense.
  void apply(const float* x, int64_t rows, float* y, ThreadPool& threads) const;
};

struct BlockWeights {
  NormWeights attention_norm, post_attention_norm, attention_residual_norm;
  NormWeights mlp_norm, post_mlp_norm, mlp_residual_norm;
  NormWeights q_norm, k_norm;
  std::vector<LinearWeights> linears;  // of Block::linears
};

/// Everything outside the blocks.
struct OuterWeights {
  RowSourcePtr embedding, positions;  // positions null when not learned
  LinearWeights project_in, project_out, head;
  NormWeights final_norm;
};

struct ModelWeights : OuterWeights {
  std::vector<BlockWeights> blocks;
};

OuterWeights load_outer_weights(const Checkpoint& checkpoint);
BlockWeights load_block_weights(const Checkpoint& checkpoint, int block);
ModelWeights load_weights(const Checkpoint& checkpoint);

}  // namespace bitloom
