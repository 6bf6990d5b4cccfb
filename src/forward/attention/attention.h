#pragma once
// Attention over the sequences of a pass: those with many queries by tiles of them, those with few by few_queries.h.
// Where all keys and values are kept, tiles go by kept_tile.h, else, as in calibration, by matrix products whose bits
// no kernel decides.
//
// Goals: all threads busy for one sequence; memory of one tile of scores per thread; the same bytes for any number of
// threads; nothing allocated by a call that is no larger than one before. Non-goals: tiles of keys where matrix
// products serve (they hold rows of scores whole, so that softmax is the plain one).

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "forward/attention/few_queries.h"
#include "forward/attention/heads.h"
#include "forward/input_rounder.h"
#include "forward/pass.h"

namespace bitloom {

/// What attention() reads and writes. Head h reads the keys and values of head h * kv_heads / heads. A query of a
/// sequence sees the keys of its runs, from the first to the last.
struct AttentionCall {
  const Pass* pass = nullptr;
  int block = 0;     // of the pages
  HeadView q, k, v;  // of the pass's own rows
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;  // 0: head_dim
  float scale = 1.0f, softcap = 0.0f;
  Mask mask = Mask::kCausal;  // bidirectional: whole sequences alone
  int64_t window = 0;
  std::span<const float> alibi = {};  // [heads] or empty
  std::span<const float> sinks = {};  // [heads] or empty
  const InputRounder* probabilities = nullptr;  // null: they are multiplied as they are
  float* out = nullptr;                         // [rows of q, heads * value_dim]

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};

/// Queries [begin, end) of one sequence, for all heads of one key head. They see keys [first_key, last_key).
struct AttentionTile {
  const PassSequence* sequence;
  int64_t begin, end, first_key, last_key;
  int64_t kv_head = 0;

  int64_t position(int64_t query) const { return sequence->position + query; }
};

/// Whether all keys and values that the sequence sees, its own among them, lie in pages.
bool is_kept(const AttentionCall& call, const PassSequence& sequence);

/// What is kept between calls so that nothing is allocated once it is large enough.
struct AttentionScratch {
  Isa isa = Isa::kPortable;  // of the kernels
  std::vector<std::vector<float>> per_thread;
  std::vector<AttentionTile> tiles;
  FewQueries few;
};

/// Puts the pass's keys and values where its runs keep them; then, per query i and head (Vaswani et al., Attention is
/// all you need, 2017, eq. 1; m (j - i): Press et al., Train short, test long, 2022, eq. 1):
///   s_j = cap(scale * q_i . k_j + m (j - i)),  p = softmax(s) over the j that mask and window let i see,  out_i =
///   sum_j p_j v_j
/// A sink is one more score of the head's softmaxes, neither scaled nor capped, whose value is 0. Probabilities that
/// are rounded are rows of the keys that their query sees; all of a row are needed for that, so that kernels over
/// pages, which go from key to key, do not serve them.
void attention(const AttentionCall& call, AttentionScratch& scratch, ThreadPool& threads);

/// Gradients of what attention() reads: views of the pass's own rows, overwritten.
struct AttentionGradients {
  const float* out = nullptr;  // [rows of q, heads * value_dim], given
  HeadView q, k, v;
  double* sinks = nullptr;  // [heads], added to; null: not wanted
};

/// The adjoint of attention() over whole sequences, after it: call.out holds what it gave. With u the scores before
/// the cap, c the cap:
///   dv_j = sum_i p_ij dout_i,   dp_ij = dout_i . v_j,   ds_ij = p_ij (dp_ij - dout_i . out_i)
///   du = ds (1 - tanh(u / c)^2),   dq_i = scale sum_j du_ij k_j,   dk_j = scale sum_i du_ij q_i
/// and of a sink, whose share is p: - p dout_i . out_i. Memory as attention(), with three tiles of scores per thread.
void attention_adjoint(const AttentionCall& call, const AttentionGradients& gradients, ThreadPool& threads);

}  // namespace bitloom
