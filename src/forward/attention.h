#pragma once
// Attention over whole sequences, a cache or branches of a tree, by tiles of queries.
//
// Goals: matrix products through sgemm; all threads busy for one sequence; memory of one tile of scores per thread;
// the same bytes for any number of threads.
// Non-goals: tiles of keys (a row of scores is held whole, so softmax is the plain one).

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "forward/heads.h"

namespace bitloom {

/// Rows [first_row, first_row + rows) of queries, keys and values that continue another branch, or the prefix.
struct AttentionBranch {
  int64_t first_row = 0, rows = 0;
  int64_t parent = -1;  // an earlier branch; -1: the prefix
};

/// What attention() reads and writes. Head h reads the keys and values of head h * kv_heads / heads.
/// Whole sequences: query i of a sequence stands at position keys - queries + i.
/// Branches: batch, queries and keys are unused; a query sees the prefix, its branch's ancestors from the first row to
/// the last, and the rows of its own branch up to itself.
struct AttentionCall {
  HeadView q;     // rows: batch * queries, or those of all branches
  HeadView k, v;  // rows: batch * keys, or those of all branches
  int64_t batch = 1, queries = 0, keys = 0;
  std::span<const AttentionBranch> branches;
  HeadView prefix_k, prefix_v;  // rows: prefix
  int64_t prefix = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1.0f, softcap = 0.0f;
  Mask mask = Mask::kCausal;  // bidirectional: whole sequences alone, queries == keys
  int64_t window = 0;
  float* out = nullptr;  // [rows of q, heads * head_dim]
};

/// Scratch of every thread, kept between calls so that nothing is allocated once it is large enough.
struct AttentionScratch {
  std::vector<std::vector<float>> per_thread;
};

/// Per query i and head (Vaswani et al., Attention is all you need, 2017, eq. 1):
///   s_j = cap(scale * q_i . k_j),  p = softmax(s) over the j that mask and window let i see,  out_i = sum_j p_j v_j
void attention(const AttentionCall& call, AttentionScratch& scratch, ThreadPool& threads);

}  // namespace bitloom
