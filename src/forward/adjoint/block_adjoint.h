#pragma once
// The adjoint of one transformer block over whole sequences (model/graph.h says what a block computes): run() is the
// block once more, with everything kept that backward() needs; the adjoint of each operation lies beside the operation.
//
// Goals: every architecture; the same bytes for any number of threads; memory of one block's activations, about
// rows * (8 hidden + 4 widths of q, k and v + 4 mlp widths) fp32 and three tiles of scores per thread.
// Inputs that have a rounder are read as it rounds them; gradients go straight through (InputRounder::round_adjoint).
// Non-goals: caches and steps; formats of attention's operands, which are multiplied as they are.

#include <cstdint>
#include <vector>

#include "forward/adjoint/gradient_sink.h"
#include "forward/attention/attention.h"
#include "forward/attention/rope.h"
#include "forward/layers/routing.h"
#include "forward/pass.h"
#include "forward/weights.h"

namespace bitloom {

class BlockAdjoint {
 public:
  /// As BlockRunner.
  BlockAdjoint(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope);

  /// hidden [pass.rows(), hidden], the residual stream before the block, becomes what is behind it. `pass` is of whole
  /// sequences, and must outlive backward().
  void run(const Pass& pass, float* hidden, ThreadPool& threads);
  /// gradient [pass.rows(), hidden] of the stream behind the block becomes that of the stream before it.
  void backward(float* gradient, const GradientSink& sink, ThreadPool& threads);

 private:
  using Values = std::vector<float>;
  /// An MLP's values: of the shared one, or of one expert.
  struct MlpTape {
    Values gate, up, inner, out;
    int64_t rows = 0;
  };
  struct Backward;  // what one backward pass works on

  void project(ThreadPool& threads);
  void project_latents(ThreadPool& threads);
  void place_heads(const HeadView& view, int64_t heads, const NormWeights& norm, ThreadPool& threads) const;
  void norm_heads(const HeadView& view, int64_t heads, const NormWeights& norm, int64_t row) const;
  void turn(const HeadView& view, int64_t heads, int64_t first_channel, int64_t row) const;
  float query_factor(int64_t row) const;
  AttentionCall attention_call();
  Values normed(const NormWeights& norm, const Values& x, ThreadPool& threads) const;
  void add_branch(const Values& from, const Values& branch, const NormWeights& post, const NormWeights& residual,
                  float* to, ThreadPool& threads) const;
  void run_mlp(const Mlp& mlp, const float* x, int64_t rows, MlpTape& tape, ThreadPool& threads);
  void run_experts(ThreadPool& threads);
  const InputRounder* rounder_of(int linear) const;
  Values rounded(int linear, const float* x, int64_t rows, ThreadPool& threads) const;
  void apply(int linear, const float* x, int64_t rows, float* y, ThreadPool& threads);

  void branch_adjoint(const Backward& back, const Values& from, const Values& branch, const NormWeights& post,
                      const NormWeights& residual, const Norm& post_name, const Norm& residual_name, float* d_stream,
                      Values& d_branch) const;
  void mlps_adjoint(const Backward& back, Values& d_branch, Values& dx);
  void experts_adjoint(const Backward& back, const Values& d_branch, Values& dx);
  void mlp_adjoint(const Backward& back, const Mlp& mlp, const MlpTape& tape, const float* x, const float* d_out,
                   float* dx) const;
  void attention_backward(const Backward& back, const Values& d_out, Values& dx);
  void heads_adjoint(const Backward& back, const HeadView& view, const HeadView& raw, int64_t heads,
                     const NormWeights& norm, const Norm& name, bool turns) const;
  void latents_adjoint(const Backward& back, Values& d_qkv, Values& dx);
  void linear_adjoint(const Backward& back, int linear, const float* x, int64_t rows, const float* dy, float* dx) const;

  const Graph& graph_;
  const Block& block_;
  const BlockWeights& weights_;
  const RopeTable* rope_;
  const Pass* pass_ = nullptr;
  int64_t rows_ = 0, hidden_;

  Values in_, attention_x_;   // the stream before the block, and after attention_norm
  Values raw_, qkv_;          // q, k and v as the linears give them, and as they are multiplied
  Values q_down_, q_latent_;  // of latent attention: before and after the norm
  Values kv_down_, kv_latent_;
  Values attended_, attention_out_;  // averages of values; the branch before its norm
  Values stream_, mlp_x_;            // the stream behind attention; what the MLP reads
  Values router_logits_, routed_, expert_out_, shared_gate_;
  Values mlp_out_, out_;  // the branch before its norm; the stream behind it, before output_scale
  Routing routing_;
  MlpTape mlp_;
  std::vector<MlpTape> experts_;
  AttentionScratch scratch_;
  LinearScratch linears_;
};

}  // namespace bitloom
