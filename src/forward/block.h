#pragma once
// One transformer block: see model/graph.h for what it computes.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "forward/attention/rope.h"
#include "forward/pass.h"
#include "forward/weights.h"
#include "forward/workspace.h"

namespace bitloom {

/// A buffer of the workspace, [rows, width].
struct KeptBuffer {
  std::vector<float> Workspace::*buffer;
  int64_t width;
};

class BlockRunner {
 public:
  /// Everything referred to must outlive the runner. `index` is the block's place in the graph; `rope` may be null. The
  /// weights may be exchanged for others of the same shape between calls.
  BlockRunner(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope);

  int inputs() const { return static_cast<int>(block_.inputs.size()); }
  /// Whether the input is the first that its producer makes.
  bool begins_step(int input) const;

  /// workspace.hidden [rows, hidden] is read and replaced.
  void run(const Pass& pass, Workspace& workspace, ThreadPool& threads) const;

  /// The same in steps, for all who look at what linear layers read, and for walks that exchange their weights before
  /// they run: reach() each input of the block in its order, then finish(). reach() runs the layers before the input
  /// (by its index) and returns what its readers read, [rows, width], before a rounder of the input rounds it; valid
  /// until the next call. Rows are those of the pass, or those of them that an expert sees. Inputs that begin no step
  /// follow the one before at once. Between steps the workspace may be used for other sequences if the buffers of
  /// kept_at() are put back.
  std::span<const float> reach(int input, const Pass& pass, Workspace& workspace, ThreadPool& threads) const;
  void finish(const Pass& pass, Workspace& workspace, ThreadPool& threads) const;
  /// What the step after reach(input) needs.
  std::vector<KeptBuffer> kept_at(int input) const;

 private:
  struct Run;    // what one call works on
  struct Place;  // who reads an input
  void make_attention_input(const Run& run) const;
  void make_latents(const Run& run) const;
  void project_qkv(const Run& run, const QkvViews& views) const;
  void expand_latents(const Run& run, const QkvViews& views) const;
  void make_mlp_input(const Run& run) const;
  void attend(const Run& run) const;
  void add_attention(const Run& run) const;
  void route_rows(const Run& run) const;
  void gate_shared(const Run& run) const;
  void expand_all(const Run& run) const;
  void expand(const Run& run, const Mlp& mlp, int64_t rows, float* gate, float* up) const;
  void add_mlp(const Run& run) const;
  void add_shared(const Run& run) const;
  void add_experts(const Run& run) const;
  std::span<const float> rows_of(const Run& run, int input) const;
  bool is_read_rotated(int input, int64_t rows) const;
  LayerInput rounded(const Run& run, int input, std::span<const float> x) const;
  void apply(const Run& run, std::initializer_list<Place> places) const;
  void place_heads(const Run& run, const HeadView& view, int64_t heads, const NormWeights& norm) const;
  void turn(const Run& run, const HeadView& view, int64_t row, int64_t heads, int64_t first_channel) const;
  void project_heads(const Run& run, const QkvViews& views) const;
  void scale_queries(const Run& run, const HeadView& view) const;
  void clip(const Run& run) const;
  void round_operand(const Run& run, Operand operand, const HeadView& view, int64_t heads) const;

  const Block& block_;
  const BlockWeights& weights_;
  const RopeTable* rope_;
  int index_;
  int64_t hidden_;
  float residual_scale_;
};

}  // namespace bitloom
