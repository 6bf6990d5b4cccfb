#pragma once
// Causal attention over whole sequences or over a cache, by tiles of queries.
//
// Goals: matrix products through sgemm; all threads busy for one sequence; memory of one tile of scores per thread;
// the same bytes for any number of threads.
// Non-goals: tiles of keys (a row of scores is held whole, so softmax is the plain one).

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "forward/heads.h"

namespace bitloom {

/// What attention() reads and writes. Query i of a sequence stands at position keys - queries + i; head h reads the
/// keys and values of head h * kv_heads / heads.
struct AttentionCall {
  HeadView q;     // rows: batch * queries
  HeadView k, v;  // rows: batch * keys
  int64_t batch = 1, queries = 0, keys = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1.0f, softcap = 0.0f;
  int64_t window = 0;
  float* out = nullptr;  // [batch * queries, heads * head_dim]
};

/// Scratch of every thread, kept between calls so that nothing is allocated once it is large enough.
struct AttentionScratch {
  std::vector<std::vector<float>> per_thread;
};

/// Per query i and head (Vaswani et al., Attention is all you need, 2017, eq. 1):
///   s_j = cap(scale * q_i . k_j),  p = softmax(s) over i - window < j <= i,  out_i = sum_j p_j v_j
void attention(const AttentionCall& call, AttentionScratch& scratch, ThreadPool& threads);

}  // namespace bitloom
