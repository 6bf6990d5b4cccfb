#include "forward/block.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "forward/layers/activation.h"
#include "forward/row_loop.h"
#include "model/block_parts.h"

namespace bitloom {

struct BlockRunner::Run {
  const Pass& pass;
  Workspace& work;
  ThreadPool& threads;
  int64_t rows, hidden;
  float residual_scale;
  mutable int rounded_input = -1;  // whose rows work.rounded holds

  /// normed <- norm(hidden); where the norm is absent the residual stream itself is read.
  void make_normed(const NormWeights& norm) const {
    if (norm.present()) norm_rows(norm, work.hidden.data(), rows, work.normed.data(), threads);
  }

  /// hidden <- residual_norm(hidden + residual_scale * post_norm(branch))
  void add_branch(const NormWeights& post_norm, const NormWeights& residual_norm) const {
    for_pass_rows(threads, rows, [&](int64_t row) {
      float* h = work.hidden.data() + row * hidden;
      float* b = work.branch.data() + row * hidden;
      if (post_norm.present()) norm_row(post_norm, b, b);
      for (int64_t i = 0; i < hidden; ++i) h[i] += residual_scale * b[i];
      if (residual_norm.present()) norm_row(residual_norm, h, h);
    });
  }
};

/// A linear layer that reads an input, and where its output goes.
struct BlockRunner::Place {
  int linear;  // index into Block::linears
  float* y;    // [rows, out]
};

namespace {

// The norm of a row's queries or keys, see HeadNorm.
void norm_heads(const NormWeights& norm, const Attention& spec, int64_t heads, const HeadView& view, int64_t row) {
  if (!norm.present()) return;
  if (spec.head_norm == HeadNorm::kAllHeads) {
    assert(spec.layout != QkvLayout::kPerHead);  // the heads of a row are neighbours
    return norm_row(norm, view.at(row, 0), view.at(row, 0));
  }
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t first = spec.head_norm == HeadNorm::kOwn ? head * spec.head_dim : 0;
    norm_row(norm, first, spec.head_dim, view.at(row, head), view.at(row, head));
  }
}

// The buffer that `down` reads.
const float* inner(const Mlp& mlp, const std::vector<float>& gate, const std::vector<float>& up) {
  return mlp.gated ? up.data() : gate.data();
}

}  // namespace

BlockRunner::BlockRunner(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope)
    : block_(graph.blocks[static_cast<size_t>(index)]),
      weights_(weights),
      rope_(rope),
      index_(index),
      hidden_(graph.hidden),
      residual_scale_(graph.residual_scale) {}

void BlockRunner::run(const Pass& pass, Workspace& workspace, ThreadPool& threads) const {
  const Run run{pass, workspace, threads, pass.rows(), hidden_, residual_scale_};
  make_attention_input(run);
  make_latents(run);
  attend(run);
  if (!block_.parallel) add_attention(run);
  make_mlp_input(run);
  route_rows(run);
  expand_all(run);
  if (block_.parallel) add_attention(run);
  add_mlp(run);
}

std::span<const float> BlockRunner::reach(int input, const Pass& pass, Workspace& workspace,
                                          ThreadPool& threads) const {
  const Run run{pass, workspace, threads, pass.rows(), hidden_, residual_scale_};
  if (!begins_step(input)) return rows_of(run, input);
  switch (block_.inputs[static_cast<size_t>(input)].producer) {
    case Producer::kAttentionNorm:
      make_attention_input(run);
      break;
    case Producer::kLatent:
      make_attention_input(run);
      make_latents(run);
      break;
    case Producer::kAttention:
      make_attention_input(run);
      attend(run);
      break;
    case Producer::kMlpNorm:
      if (!block_.parallel) add_attention(run);
      make_mlp_input(run);
      break;
    case Producer::kRouter:
      make_mlp_input(run);
      route_rows(run);
      break;
    case Producer::kMlp:
      make_mlp_input(run);
      route_rows(run);
      expand_all(run);
      break;
  }
  return rows_of(run, input);
}

bool BlockRunner::begins_step(int input) const { return bitloom::begins_step(block_, input); }

// Where the workspace holds the input once it has been made: what is observed there, and what its readers read.
std::span<const float> BlockRunner::rows_of(const Run& run, int index) const {
  const Workspace& work = run.work;
  const Input& input = block_.inputs[static_cast<size_t>(index)];
  const auto view = [&input](const float* x, int64_t first, int64_t rows) {
    return std::span<const float>(x + first * input.width, static_cast<size_t>(rows * input.width));
  };
  const auto stream_or_normed = [&](const NormWeights& norm) {
    return view(norm.present() ? work.normed.data() : work.hidden.data(), 0, run.rows);
  };
  const auto of_expert = [&](const float* x) {
    return view(x, work.routing.begin(input.expert), work.routing.count(input.expert));
  };
  switch (input.producer) {
    case Producer::kAttentionNorm:
      return stream_or_normed(weights_.attention_norm);
    case Producer::kLatent: {
      const bool of_keys = input.readers.front() == block_.attention.latent.kv_up;
      return view(of_keys ? work.kv_latent.data() : work.q_latent.data(), 0, run.rows);
    }
    case Producer::kAttention:
      return view(work.attended.data(), 0, run.rows);
    case Producer::kMlpNorm:
      return stream_or_normed(weights_.mlp_norm);
    case Producer::kRouter:
      return of_expert(work.routed.data());
    case Producer::kMlp:
      break;
  }
  if (input.expert < 0) return view(inner(block_.mlp, work.gate, work.up), 0, run.rows);
  return of_expert(inner(block_.experts.mlps.front(), work.expert_gate, work.expert_up));
}

void BlockRunner::finish(const Pass& pass, Workspace& workspace, ThreadPool& threads) const {
  const Run run{pass, workspace, threads, pass.rows(), hidden_, residual_scale_};
  if (block_.experts.present()) {
    make_mlp_input(run);
    route_rows(run);
    gate_shared(run);
  }
  if (block_.parallel) add_attention(run);
  add_mlp(run);
}

std::vector<KeptBuffer> BlockRunner::kept_at(int input) const {
  const Producer producer = block_.inputs[static_cast<size_t>(input)].producer;
  std::vector<KeptBuffer> kept = {{&Workspace::hidden, hidden_}};
  const Attention& attention = block_.attention;
  if (producer == Producer::kLatent) {
    const LatentAttention& latent = attention.latent;
    kept.push_back({&Workspace::kv_latent, latent.rank});
    kept.push_back({&Workspace::shared_keys, latent.rope_dim});
    if (latent.q_down >= 0) {
      kept.push_back({&Workspace::q_latent, linear_at(block_, latent.q_down).out});
    } else {
      kept.push_back({&Workspace::qkv, attention.heads * attention.head_dim});  // q, which comes first in it
    }
    return kept;
  }
  const bool before_mlp = producer == Producer::kAttentionNorm || producer == Producer::kAttention;
  if (producer == Producer::kAttention || (block_.parallel && !before_mlp)) {
    kept.push_back({&Workspace::attended, attention.heads * attention.values()});
  }
  if (producer != Producer::kMlp) return kept;
  const Mlp& mlp = block_.mlp;
  if (mlp.present()) kept.push_back({mlp.gated ? &Workspace::up : &Workspace::gate, mlp.width});
  if (block_.experts.present()) {
    const Mlp& expert = block_.experts.mlps.front();
    kept.push_back(
        {expert.gated ? &Workspace::expert_up : &Workspace::expert_gate, block_.experts.top_k * expert.width});
  }
  return kept;
}

void BlockRunner::make_attention_input(const Run& run) const { run.make_normed(weights_.attention_norm); }

void BlockRunner::make_mlp_input(const Run& run) const { run.make_normed(weights_.mlp_norm); }

// hidden <- hidden + output(attended), with the norms around it
void BlockRunner::add_attention(const Run& run) const {
  apply(run, {{block_.attention.output, run.work.branch.data()}});
  run.add_branch(weights_.post_attention_norm, weights_.attention_residual_norm);
}

// hidden <- hidden + what MLP and experts give, with the norms around it
void BlockRunner::add_mlp(const Run& run) const {
  std::vector<float>& branch = run.work.branch;
  if (block_.mlp.present()) {
    add_shared(run);
  } else {
    std::fill_n(branch.begin(), run.rows * hidden_, 0.0f);
  }
  if (block_.experts.present()) add_experts(run);
  run.add_branch(weights_.post_mlp_norm, weights_.mlp_residual_norm);
  if (weights_.output_scale == 1.0f) return;
  for_rows(run.threads, run.rows, [&](int64_t row) {
    float* h = run.work.hidden.data() + row * hidden_;
    for (int64_t i = 0; i < hidden_; ++i) h[i] *= weights_.output_scale;
  });
}

// branch <- sigmoid(shared_gate) * down(inner); without a gate down(inner)
void BlockRunner::add_shared(const Run& run) const {
  Workspace& work = run.work;
  apply(run, {{block_.mlp.down, work.branch.data()}});
  if (block_.experts.shared_gate < 0) return;
  for_rows(run.threads, run.rows, [&](int64_t row) {
    const float factor = 1.0f / (1.0f + std::exp(-work.shared_gate[static_cast<size_t>(row)]));
    float* y = work.branch.data() + row * hidden_;
    for (int64_t i = 0; i < hidden_; ++i) y[i] *= factor;
  });
}

// branch <- branch + weighted sum of what the experts give
void BlockRunner::add_experts(const Run& run) const {
  Workspace& work = run.work;
  const Routing& routing = work.routing;
  for (int e = 0; e < static_cast<int>(block_.experts.mlps.size()); ++e) {
    const Mlp& mlp = block_.experts.mlps[static_cast<size_t>(e)];
    apply(run, {{mlp.down, work.routed.data() + routing.begin(e) * hidden_}});
  }
  add_routed(routing, run.rows, work.routed.data(), hidden_, work.branch.data(), run.threads);
}

// Whether the layers that read the input multiply it as it is rounded, in rotated coordinates.
bool BlockRunner::is_read_rotated(int input, int64_t rows) const {
  if (!weights_.rotated.contains(input)) return false;
  const std::vector<int>& readers = block_.inputs[static_cast<size_t>(input)].readers;
  return std::all_of(readers.begin(), readers.end(), [&](int reader) {
    return weights_.linears[static_cast<size_t>(reader)].kernel_for(rows) != nullptr;
  });
}

// What the readers of the input read: x [rows, width], or x as its format rounds it, once for all of them.
LayerInput BlockRunner::rounded(const Run& run, int input, std::span<const float> x) const {
  const auto found = weights_.rounders.find(input);
  if (found == weights_.rounders.end()) return {x.data()};
  const InputRounder& rounder = found->second;
  const int64_t width = block_.inputs[static_cast<size_t>(input)].width, rows = static_cast<int64_t>(x.size()) / width;
  const bool rotated = is_read_rotated(input, rows);
  const bool scaled = rounder.has_token_scales() && (rotated || !rounder.rotates());
  std::vector<float>&out = run.work.rounded, &scales = run.work.rounded_scales;
  if (run.rounded_input != input) {
    if (out.size() < x.size()) out.resize(x.size());
    if (static_cast<int64_t>(scales.size()) < rows) scales.resize(static_cast<size_t>(rows));
    using Coordinates = InputRounder::Coordinates;
    rounder.round(x.data(), rows, width, out.data(), run.threads, scaled ? scales.data() : nullptr,
                  rotated ? Coordinates::kRotated : Coordinates::kOwn);
    run.rounded_input = input;
  }
  return {out.data(), scaled ? scales.data() : nullptr, rotated};
}

// All places, which read one input, together.
void BlockRunner::apply(const Run& run, std::initializer_list<Place> places) const {
  const int input = block_.linears[static_cast<size_t>(places.begin()->linear)].input;
  const std::span<const float> x = rows_of(run, input);
  if (x.empty()) return;
  std::array<LinearReader, kMostReaders> readers;
  size_t count = 0;
  for (const Place& place : places) {
    assert(block_.linears[static_cast<size_t>(place.linear)].input == input);
    readers[count++] = {&weights_.linears[static_cast<size_t>(place.linear)], place.y};
  }
  const int64_t rows = static_cast<int64_t>(x.size()) / block_.inputs[static_cast<size_t>(input)].width;
  apply_layers({readers.data(), count}, rounded(run, input, x), rows, run.work.linears, run.threads);
}

// Norms of heads and rope, in their order, of all queries or all keys of the pass.
void BlockRunner::place_heads(const Run& run, const HeadView& view, int64_t heads, const NormWeights& norm) const {
  if (!norm.present() && rope_ == nullptr) return;
  const Attention& spec = block_.attention;
  for_pass_rows(run.threads, run.rows, [&](int64_t row) {
    if (!spec.rope_before_norm) norm_heads(norm, spec, heads, view, row);
    turn(run, view, row, heads, 0);
    if (spec.rope_before_norm) norm_heads(norm, spec, heads, view, row);
  });
}

// Rope on the row's heads, of each its channels from the first on.
void BlockRunner::turn(const Run& run, const HeadView& view, int64_t row, int64_t heads, int64_t first_channel) const {
  if (rope_ == nullptr) return;
  const RowPosition& at = run.pass.position(row);
  for (int64_t head = 0; head < heads; ++head) {
    rope_->rotate(at.position, at.length, view.at(row, head) + first_channel);
  }
}

// See QueryScale.
void BlockRunner::scale_queries(const Run& run, const HeadView& view) const {
  const auto& [beta, length] = block_.attention.query_scale;
  if (beta == 0.0f) return;
  for_rows(run.threads, run.rows, [&, beta = beta, length = length](int64_t row) {
    const auto periods = static_cast<float>(run.pass.position(row).position / length);
    const float factor = 1.0f + beta * std::log(1.0f + periods);
    for (int64_t head = 0; head < block_.attention.heads; ++head) {
      float* x = view.at(row, head);
      for (int64_t i = 0; i < block_.attention.head_dim; ++i) x[i] *= factor;
    }
  });
}

// Clamps q, k and v to what the attention allows.
void BlockRunner::clip(const Run& run) const {
  const float most = block_.attention.clip;
  if (most == 0.0f) return;
  const int64_t width = qkv_width(block_.attention);
  for_rows(run.threads, run.rows, [&](int64_t row) {
    float* x = run.work.qkv.data() + row * width;
    for (int64_t i = 0; i < width; ++i) x[i] = std::clamp(x[i], -most, most);
  });
}

// q, k and v of three matrices, or of two: then the values are the keys before their norm.
void BlockRunner::project_heads(const Run& run, const QkvViews& views) const {
  const Attention& spec = block_.attention;
  if (spec.v >= 0) {
    return apply(run, {{spec.q, views.q.data}, {spec.k, views.k.data}, {spec.v, views.v.data}});
  }
  apply(run, {{spec.q, views.q.data}, {spec.k, views.k.data}});
  std::copy_n(views.k.data, run.rows * views.k.row_stride, views.v.data);
}

// kv_latent, q_latent <- norms of what kv_down and q_down give; shared_keys <- the last channels of kv_down's, turned;
// without q_down also q <- q(x).
void BlockRunner::make_latents(const Run& run) const {
  const Attention& spec = block_.attention;
  if (spec.layout != QkvLayout::kLatent) return;
  const LatentAttention& latent = spec.latent;
  Workspace& work = run.work;
  const QkvViews views = qkv_views(spec, work.qkv.data(), run.rows);
  const int64_t width = latent.rank + latent.rope_dim;
  float* down = views.k.data;  // [rows, rank + rope_dim], before keys are there
  const HeadView keys = {work.shared_keys.data(), latent.rope_dim, latent.rope_dim};
  const Place queries = latent.q_down < 0 ? Place{spec.q, views.q.data} : Place{latent.q_down, work.q_latent.data()};
  apply(run, {queries, {latent.kv_down, down}});
  for_rows(run.threads, run.rows, [&](int64_t row) {
    norm_row(weights_.kv_latent_norm, down + row * width, work.kv_latent.data() + row * latent.rank);
    std::copy_n(down + row * width + latent.rank, latent.rope_dim, keys.at(row, 0));
    turn(run, keys, row, 1, 0);
  });
  if (latent.q_down < 0) return;
  norm_rows(weights_.q_latent_norm, work.q_latent.data(), run.rows, work.q_latent.data(), run.threads);
}

// q, k and v of the latents.
void BlockRunner::expand_latents(const Run& run, const QkvViews& views) const {
  const Attention& spec = block_.attention;
  const LatentAttention& latent = spec.latent;
  const int64_t unturned = spec.head_dim - latent.rope_dim;
  if (latent.q_down >= 0) apply(run, {{spec.q, views.q.data}});
  apply(run, {{latent.kv_up, views.v.data - unturned}});
  for_rows(run.threads, run.rows, [&](int64_t row) {
    turn(run, views.q, row, spec.heads, unturned);
    const float* shared = run.work.shared_keys.data() + row * latent.rope_dim;
    for (int64_t head = 0; head < spec.heads; ++head) {
      std::copy_n(views.v.at(row, head) - unturned, unturned, views.k.at(row, head));
      std::copy_n(shared, latent.rope_dim, views.k.at(row, head) + unturned);
    }
  });
}

// q, k and v of the pass, ready to be multiplied.
void BlockRunner::project_qkv(const Run& run, const QkvViews& views) const {
  const Attention& spec = block_.attention;
  if (spec.layout == QkvLayout::kLatent) return expand_latents(run, views);
  if (spec.layout == QkvLayout::kSeparate) {
    project_heads(run, views);
  } else {
    apply(run, {{spec.q, views.q.data}});
  }
  clip(run);
  place_heads(run, views.q, spec.heads, weights_.q_norm);
  if (weights_.v_norm.present()) {
    for_rows(run.threads, run.rows,
             [&](int64_t row) { norm_heads(weights_.v_norm, spec, spec.kv_heads, views.v, row); });
  }
  place_heads(run, views.k, spec.kv_heads, weights_.k_norm);
  scale_queries(run, views.q);
}

// Each head's channels of a token, as the operand's format rounds them.
void BlockRunner::round_operand(const Run& run, Operand operand, const HeadView& view, int64_t heads) const {
  const auto rounder = weights_.operands.find(operand);
  if (rounder == weights_.operands.end()) return;
  const int64_t width = block_.attention.width_of(operand);
  for_rows(run.threads, run.rows, [&](int64_t row) {
    for (int64_t head = 0; head < heads; ++head) {
      rounder->second.round_row(view.at(row, head), width, view.at(row, head));
    }
  });
}

// attended <- attention(q, k, v), of x, the input that kAttentionNorm makes, or of the latents
void BlockRunner::attend(const Run& run) const {
  const Attention& spec = block_.attention;
  const QkvViews views = qkv_views(spec, run.work.qkv.data(), run.rows);
  project_qkv(run, views);
  round_operand(run, Operand::kQueries, views.q, spec.heads);
  round_operand(run, Operand::kKeys, views.k, spec.kv_heads);
  round_operand(run, Operand::kValues, views.v, spec.kv_heads);
  AttentionCall call;
  call.pass = &run.pass, call.block = index_;
  call.q = views.q, call.k = views.k, call.v = views.v;
  call.heads = spec.heads, call.kv_heads = spec.kv_heads, call.head_dim = spec.head_dim;
  call.value_dim = spec.value_dim;
  call.scale = spec.scale, call.softcap = spec.softcap;
  call.mask = spec.mask, call.window = spec.window, call.alibi = spec.alibi;
  call.sinks = weights_.sinks;
  const auto probabilities = weights_.operands.find(Operand::kProbabilities);
  if (probabilities != weights_.operands.end()) call.probabilities = &probabilities->second;
  call.out = run.work.attended.data();
  attention(call, run.work.scratch, run.threads);
}

// Sends the rows of the MLP's input to experts, where there are any.
void BlockRunner::route_rows(const Run& run) const {
  if (!block_.experts.present()) return;
  Workspace& work = run.work;
  apply(run, {{block_.experts.router, work.routing.logits.data()}});
  route(block_.experts, weights_.choice_bias, run.rows, work.routing);
  const int input = block_.linears[static_cast<size_t>(block_.experts.router)].input;
  gather_routed(work.routing, run.rows, rows_of(run, input).data(), hidden_, work.routed.data(), run.threads);
}

void BlockRunner::gate_shared(const Run& run) const {
  if (block_.experts.shared_gate >= 0) apply(run, {{block_.experts.shared_gate, run.work.shared_gate.data()}});
}

// The inner activations of the MLP, and of every expert that reads what was gathered of the MLP's input.
void BlockRunner::expand_all(const Run& run) const {
  Workspace& work = run.work;
  gate_shared(run);
  if (block_.mlp.present()) expand(run, block_.mlp, run.rows, work.gate.data(), work.up.data());
  for (int e = 0; e < static_cast<int>(block_.experts.mlps.size()); ++e) {
    const Mlp& mlp = block_.experts.mlps[static_cast<size_t>(e)];
    const int64_t first = work.routing.begin(e), gate_width = mlp.fused_gate_up ? 2 * mlp.width : mlp.width;
    expand(run, mlp, work.routing.count(e), work.expert_gate.data() + first * gate_width,
           work.expert_up.data() + first * mlp.width);
  }
}

// up <- act(gate(x)) * up(x), or gate <- act(up(x))
void BlockRunner::expand(const Run& run, const Mlp& mlp, int64_t rows, float* gate, float* up) const {
  const int64_t width = mlp.width;
  if (!mlp.gated) {
    apply(run, {{mlp.up, gate}});
  } else if (mlp.fused_gate_up) {
    apply(run, {{mlp.gate, gate}});
  } else {
    apply(run, {{mlp.gate, gate}, {mlp.up, up}});
  }
  for_pass_rows(run.threads, rows, [&](int64_t row) {
    float* out = (mlp.gated ? up : gate) + row * width;
    if (!mlp.gated) return activate(mlp.activation, out, width, out);
    const float* fused = gate + row * 2 * width;
    if (mlp.fused_gate_up) return activate_gated(mlp, fused, fused + width, width, out);
    activate_gated(mlp, gate + row * width, out, width, out);
  });
}

}  // namespace bitloom
