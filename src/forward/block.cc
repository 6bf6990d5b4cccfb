#include "forward/block.h"

#include <algorithm>
#include <cassert>

#include "forward/activation.h"
#include "forward/row_loop.h"

namespace bitloom {

struct BlockRunner::Run {
  const Pass& pass;
  Workspace& work;
  ThreadPool& threads;
  int64_t rows, hidden;

  /// norm(hidden) in work.normed; the residual stream itself where the norm is absent.
  const float* normed(const NormWeights& norm) const {
    if (!norm.present()) return work.hidden.data();
    norm_rows(norm, work.hidden.data(), rows, work.normed.data(), threads);
    return work.normed.data();
  }

  /// hidden <- residual_norm(hidden + post_norm(branch))
  void add_branch(const NormWeights& post_norm, const NormWeights& residual_norm) const {
    for_rows(threads, rows, [&](int64_t row) {
      float* h = work.hidden.data() + row * hidden;
      float* b = work.branch.data() + row * hidden;
      if (post_norm.present()) norm_row(post_norm, b, b);
      for (int64_t i = 0; i < hidden; ++i) h[i] += b[i];
      if (residual_norm.present()) norm_row(residual_norm, h, h);
    });
  }
};

namespace {

// Appends the pass's keys or values to the cache and gives the view of all of them.
HeadView cached(const HeadView& fresh, const Pass& pass, const Attention& attention, float* cache) {
  const int64_t dim = attention.head_dim, width = attention.kv_heads * dim;
  for (int64_t row = 0; row < pass.length; ++row) {
    for (int64_t head = 0; head < attention.kv_heads; ++head) {
      std::copy_n(fresh.at(row, head), dim, cache + (pass.start + row) * width + head * dim);
    }
  }
  return {cache, width, dim};
}

}  // namespace

BlockRunner::BlockRunner(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope)
    : block_(graph.blocks[static_cast<size_t>(index)]),
      weights_(weights),
      rope_(rope),
      index_(index),
      sites_(linear_sites(graph, index)) {}

void BlockRunner::run(const Pass& pass, Workspace& workspace, ThreadPool& threads) const {
  assert(pass.cache.empty() || pass.batch == 1);
  const int64_t hidden = weights_.output.out();
  const Run run{pass, workspace, threads, pass.rows(), hidden};
  block_.parallel ? parallel(run) : sequential(run);
}

void BlockRunner::sequential(const Run& run) const {
  attention_branch(run, run.normed(weights_.attention_norm));
  run.add_branch(weights_.post_attention_norm, weights_.attention_residual_norm);
  mlp_branch(run, run.normed(weights_.mlp_norm));
  run.add_branch(weights_.post_mlp_norm, weights_.mlp_residual_norm);
}

void BlockRunner::parallel(const Run& run) const {
  attention_branch(run, run.normed(weights_.attention_norm));
  // The MLP reads the block's input, so its input is taken before the attention's output is added.
  const float* x = run.normed(weights_.mlp_norm);
  if (!weights_.mlp_norm.present()) {
    std::copy_n(x, run.rows * run.hidden, run.work.normed.data());
    x = run.work.normed.data();
  }
  run.add_branch({}, {});
  mlp_branch(run, x);
  run.add_branch({}, {});
}

void BlockRunner::apply(const Run& run, const Linear& linear, const LinearWeights& weights, const float* x,
                        float* y) const {
  weights.apply(x, run.rows, y, run.threads);
  if (run.pass.tap == nullptr) return;
  const auto site = std::find_if(sites_.begin(), sites_.end(), [&](const Site& s) { return s.linear == &linear; });
  assert(site != sites_.end());
  const auto size = [&](int64_t width) { return static_cast<size_t>(run.rows * width); };
  (*run.pass.tap)({*site, {x, size(weights.in())}, {y, size(weights.out())}, run.rows});
}

// Per-head norm, then rope, of all queries or all keys of the pass.
void BlockRunner::place_heads(const Run& run, const HeadView& view, int64_t heads, const NormWeights& norm) const {
  if (!norm.present() && rope_ == nullptr) return;
  for_rows(run.threads, run.rows, [&](int64_t row) {
    for (int64_t head = 0; head < heads; ++head) {
      float* x = view.at(row, head);
      if (norm.present()) norm_row(norm, x, x);
      if (rope_ != nullptr) rope_->rotate(run.pass.position(row), x);
    }
  });
}

// branch <- output(attention(q(x), k(x), v(x)))
void BlockRunner::attention_branch(const Run& run, const float* x) const {
  const Attention& spec = block_.attention;
  const Pass& pass = run.pass;
  QkvViews views = qkv_views(spec, run.work.qkv.data(), run.rows);
  apply(run, spec.q, weights_.q, x, views.q.data);
  if (spec.layout == QkvLayout::kSeparate) {
    apply(run, spec.k, weights_.k, x, views.k.data);
    apply(run, spec.v, weights_.v, x, views.v.data);
  }
  place_heads(run, views.q, spec.heads, weights_.q_norm);
  place_heads(run, views.k, spec.kv_heads, weights_.k_norm);
  if (!pass.cache.empty()) {
    const CacheRows& cache = pass.cache[static_cast<size_t>(index_)];
    views.k = cached(views.k, pass, spec, cache.keys);
    views.v = cached(views.v, pass, spec, cache.values);
  }
  AttentionCall call;
  call.q = views.q, call.k = views.k, call.v = views.v;
  call.batch = pass.batch, call.queries = pass.length, call.keys = pass.start + pass.length;
  call.heads = spec.heads, call.kv_heads = spec.kv_heads, call.head_dim = spec.head_dim;
  call.scale = spec.scale, call.softcap = spec.softcap, call.window = spec.window;
  call.out = run.work.attended.data();
  attention(call, run.work.scratch, run.threads);
  apply(run, spec.output, weights_.output, call.out, run.work.branch.data());
}

// branch <- down(act(gate(x)) * up(x)), or down(act(up(x)))
void BlockRunner::mlp_branch(const Run& run, const float* x) const {
  const Mlp& spec = block_.mlp;
  const int64_t width = spec.width;
  float* gate = run.work.gate.data();
  float* up = run.work.up.data();
  float* inner = spec.gated ? up : gate;  // [rows, width]
  if (!spec.gated) {
    apply(run, spec.up, weights_.up, x, gate);
  } else {
    apply(run, spec.gate, weights_.gate, x, gate);
    if (!spec.fused_gate_up) apply(run, spec.up, weights_.up, x, up);
  }
  for_rows(run.threads, run.rows, [&](int64_t row) {
    float* out = inner + row * width;
    if (!spec.gated) return activate(spec.activation, out, width, out);
    const float* fused = gate + row * 2 * width;
    if (spec.fused_gate_up) return activate_gated(spec.activation, fused, fused + width, width, out);
    activate_gated(spec.activation, gate + row * width, out, width, out);
  });
  apply(run, spec.down, weights_.down, inner, run.work.branch.data());
}

}  // namespace bitloom
