#include "forward/block.h"

#include <algorithm>
#include <array>
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

/// A linear site that reads an input, and where its output goes.
struct BlockRunner::Place {
  int linear;  // index into Block::linears
  float* y;    // [rows, out]
};

namespace {

HeadView rows_of_cache(const Attention& attention, float* cache) {
  return {cache, attention.kv_heads * attention.head_dim, attention.head_dim};
}

// Appends the pass's keys or values to the cache and gives the view of all of them.
HeadView cached(const HeadView& fresh, const Pass& pass, const Attention& attention, float* cache) {
  const HeadView all = rows_of_cache(attention, cache);
  for (int64_t row = 0; row < pass.length; ++row) {
    for (int64_t head = 0; head < attention.kv_heads; ++head) {
      std::copy_n(fresh.at(row, head), attention.head_dim, all.at(pass.start + row, head));
    }
  }
  return all;
}

}  // namespace

int64_t Pass::reach() const {
  return positions.empty() ? start + length : *std::max_element(positions.begin(), positions.end()) + 1;
}

BlockRunner::BlockRunner(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope)
    : block_(graph.blocks[static_cast<size_t>(index)]),
      weights_(weights),
      rope_(rope),
      index_(index),
      hidden_(graph.hidden),
      sites_(linear_sites(graph, index)) {}

void BlockRunner::run(const Pass& pass, Workspace& workspace, ThreadPool& threads) const {
  assert(pass.cache.empty() || pass.batch == 1);
  const Run run{pass, workspace, threads, pass.rows(), hidden_};
  attend(run, attention_input(run));
  if (!block_.parallel) add_attention(run);
  expand(run, mlp_input(run));
  if (block_.parallel) add_attention(run);
  add_mlp(run);
}

std::span<const float> BlockRunner::reach(int input, const Pass& pass, Workspace& workspace,
                                          ThreadPool& threads) const {
  const Run run{pass, workspace, threads, pass.rows(), hidden_};
  const auto rows_of = [&](const float* x, int64_t width) {
    return std::span<const float>(x, static_cast<size_t>(run.rows * width));
  };
  const int64_t width = block_.inputs[static_cast<size_t>(input)].width;
  switch (block_.inputs[static_cast<size_t>(input)].producer) {
    case Producer::kAttentionNorm:
      return rows_of(attention_input(run), width);
    case Producer::kAttention:
      attend(run, attention_input(run));
      return rows_of(workspace.attended.data(), width);
    case Producer::kMlpNorm:
      if (!block_.parallel) add_attention(run);
      return rows_of(mlp_input(run), width);
    case Producer::kMlp:
      return rows_of(expand(run, mlp_input(run)), width);
    case Producer::kRouter:
      break;
  }
  return {};
}

void BlockRunner::finish(const Pass& pass, Workspace& workspace, ThreadPool& threads) const {
  const Run run{pass, workspace, threads, pass.rows(), hidden_};
  if (block_.parallel) add_attention(run);
  add_mlp(run);
}

std::vector<KeptBuffer> BlockRunner::kept_at(int input) const {
  const Producer producer = block_.inputs[static_cast<size_t>(input)].producer;
  std::vector<KeptBuffer> kept = {{&Workspace::hidden, hidden_}};
  const bool of_mlp = producer == Producer::kMlpNorm || producer == Producer::kMlp;
  if (producer == Producer::kAttention || (block_.parallel && of_mlp)) {
    kept.push_back({&Workspace::attended, block_.attention.heads * block_.attention.head_dim});
  }
  if (producer == Producer::kMlp) {
    kept.push_back({block_.mlp.gated ? &Workspace::up : &Workspace::gate, block_.mlp.width});
  }
  return kept;
}

const float* BlockRunner::attention_input(const Run& run) const { return run.normed(weights_.attention_norm); }

const float* BlockRunner::mlp_input(const Run& run) const { return run.normed(weights_.mlp_norm); }

// hidden <- hidden + output(attended), with the norms around it
void BlockRunner::add_attention(const Run& run) const {
  apply(run, {{block_.attention.output, run.work.branch.data()}}, run.work.attended.data());
  run.add_branch(weights_.post_attention_norm, weights_.attention_residual_norm);
}

// hidden <- hidden + down(inner), with the norms around it
void BlockRunner::add_mlp(const Run& run) const {
  apply(run, {{block_.mlp.down, run.work.branch.data()}}, inner(run.work));
  run.add_branch(weights_.post_mlp_norm, weights_.mlp_residual_norm);
}

// The buffer that `down` reads: [rows, width].
float* BlockRunner::inner(Workspace& workspace) const {
  return block_.mlp.gated ? workspace.up.data() : workspace.gate.data();
}

// All places that read x, together.
void BlockRunner::apply(const Run& run, std::initializer_list<Place> places, const float* x) const {
  std::array<LinearReader, kMostReaders> readers;
  size_t count = 0;
  for (const Place& place : places) readers[count++] = {&weights_.linears[static_cast<size_t>(place.linear)], place.y};
  apply_layers({readers.data(), count}, x, run.rows, run.work.blocks, run.threads);
  if (run.pass.tap == nullptr) return;
  const auto size = [&](int64_t width) { return static_cast<size_t>(run.rows * width); };
  for (const Place& place : places) {
    const LinearWeights& weights = weights_.linears[static_cast<size_t>(place.linear)];
    const Site& site = sites_[static_cast<size_t>(place.linear)];
    (*run.pass.tap)({site, {x, size(weights.in())}, {place.y, size(weights.out())}, run.rows});
  }
}

// Per-head norm, then rope, of all queries or all keys of the pass.
void BlockRunner::place_heads(const Run& run, const HeadView& view, int64_t heads, const NormWeights& norm) const {
  if (!norm.present() && rope_ == nullptr) return;
  const int64_t length = run.pass.reach();
  for_rows(run.threads, run.rows, [&](int64_t row) {
    for (int64_t head = 0; head < heads; ++head) {
      float* x = view.at(row, head);
      if (norm.present()) norm_row(norm, x, x);
      if (rope_ != nullptr) rope_->rotate(run.pass.position(row), length, x);
    }
  });
}

// attended <- attention(q(x), k(x), v(x))
void BlockRunner::attend(const Run& run, const float* x) const {
  const Attention& spec = block_.attention;
  const Pass& pass = run.pass;
  QkvViews views = qkv_views(spec, run.work.qkv.data(), run.rows);
  if (spec.layout == QkvLayout::kSeparate) {
    apply(run, {{spec.q, views.q.data}, {spec.k, views.k.data}, {spec.v, views.v.data}}, x);
  } else {
    apply(run, {{spec.q, views.q.data}}, x);
  }
  place_heads(run, views.q, spec.heads, weights_.q_norm);
  place_heads(run, views.k, spec.kv_heads, weights_.k_norm);
  AttentionCall call;
  if (!pass.cache.empty()) {
    const CacheRows& cache = pass.cache[static_cast<size_t>(index_)];
    if (pass.branches.empty()) {
      views.k = cached(views.k, pass, spec, cache.keys);
      views.v = cached(views.v, pass, spec, cache.values);
    } else {
      call.prefix_k = rows_of_cache(spec, cache.keys), call.prefix_v = rows_of_cache(spec, cache.values);
    }
  }
  call.q = views.q, call.k = views.k, call.v = views.v;
  call.branches = pass.branches, call.prefix = pass.start;
  call.batch = pass.batch, call.queries = pass.length, call.keys = pass.start + pass.length;
  call.heads = spec.heads, call.kv_heads = spec.kv_heads, call.head_dim = spec.head_dim;
  call.scale = spec.scale, call.softcap = spec.softcap, call.window = spec.window;
  call.out = run.work.attended.data();
  attention(call, run.work.scratch, run.threads);
}

// inner <- act(gate(x)) * up(x), or act(up(x))
float* BlockRunner::expand(const Run& run, const float* x) const {
  const Mlp& spec = block_.mlp;
  const int64_t width = spec.width;
  float* gate = run.work.gate.data();
  float* up = run.work.up.data();
  float* result = inner(run.work);
  if (!spec.gated) {
    apply(run, {{spec.up, gate}}, x);
  } else if (spec.fused_gate_up) {
    apply(run, {{spec.gate, gate}}, x);
  } else {
    apply(run, {{spec.gate, gate}, {spec.up, up}}, x);
  }
  for_rows(run.threads, run.rows, [&](int64_t row) {
    float* out = result + row * width;
    if (!spec.gated) return activate(spec.activation, out, width, out);
    const float* fused = gate + row * 2 * width;
    if (spec.fused_gate_up) return activate_gated(spec.activation, fused, fused + width, width, out);
    activate_gated(spec.activation, gate + row * width, out, width, out);
  });
  return result;
}

}  // namespace bitloom
