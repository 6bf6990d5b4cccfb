#pragma once
// One transformer block: see model/graph.h for what it computes.

#include <cstdint>
#include <vector>

#include "forward/decoder.h"
#include "forward/rope.h"
#include "forward/weights.h"
#include "forward/workspace.h"

namespace bitloom {

/// One block's part of a cache: keys and values [capacity, kv_heads * head_dim], filled up to the pass's start.
struct CacheRows {
  float* keys = nullptr;
  float* values = nullptr;
};

/// A pass through the blocks: `batch` sequences of `length` tokens, the first at position `start`. With a cache (batch
/// 1) keys and values of positions before `start` come from it, and those of this pass are put there.
struct Pass {
  int64_t batch = 1, length = 0, start = 0;
  const Tap* tap = nullptr;
  std::vector<CacheRows> cache;  // per block, or empty
  int64_t rows() const { return batch * length; }
  int64_t position(int64_t row) const { return start + row % length; }
};

class BlockRunner {
 public:
  /// Everything referred to must outlive the runner. `index` is the block's place in the graph; `rope` may be null.
  BlockRunner(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope);

  /// workspace.hidden [rows, hidden] is read and replaced.
  void run(const Pass& pass, Workspace& workspace, ThreadPool& threads) const;

 private:
  struct Run;  // what one call of run() works on
  void sequential(const Run& run) const;
  void parallel(const Run& run) const;
  void attention_branch(const Run& run, const float* x) const;
  void mlp_branch(const Run& run, const float* x) const;
  void apply(const Run& run, const Linear& linear, const LinearWeights& weights, const float* x, float* y) const;
  void place_heads(const Run& run, const HeadView& view, int64_t heads, const NormWeights& norm) const;

  const Block& block_;
  const BlockWeights& weights_;
  const RopeTable* rope_;
  int index_;
  std::vector<Site> sites_;
};

}  // namespace bitloom
