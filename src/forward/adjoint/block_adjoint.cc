#include "forward/adjoint/block_adjoint.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "forward/layers/activation.h"
#include "forward/row_loop.h"
#include "model/block_parts.h"

namespace bitloom {
namespace {

std::vector<float> room(int64_t rows, int64_t width) { return std::vector<float>(static_cast<size_t>(rows * width)); }

// The gradient that a tensor's is added to; null where it is not wanted or there is none.
std::vector<double>* place_of(const GradientSink& sink, const std::string& name, size_t size) {
  if (sink.vectors == nullptr || name.empty()) return nullptr;
  std::vector<double>& values = (*sink.vectors)[name];
  values.resize(size);
  return &values;
}

// Sums of a norm's gradients over rows; of what is not wanted the pointers are null.
class NormSums {
 public:
  NormSums(const GradientSink& sink, const Norm& name, const NormWeights& norm, int64_t rows)
      : weight_(place_of(sink, name.weight, norm.weight.size())),
        bias_(norm.bias.empty() ? nullptr : place_of(sink, name.bias, norm.bias.size())),
        weights_(weight_ != nullptr ? rows : 0, std::max<int64_t>(1, static_cast<int64_t>(norm.weight.size()))),
        biases_(bias_ != nullptr ? rows : 0, std::max<int64_t>(1, static_cast<int64_t>(norm.weight.size()))) {}
  ~NormSums() {
    if (weight_ != nullptr) weights_.add_to(*weight_);
    if (bias_ != nullptr) biases_.add_to(*bias_);
  }
  NormSums(const NormSums&) = delete;
  NormSums& operator=(const NormSums&) = delete;
  double* weight(int64_t row) { return weight_ != nullptr ? weights_.of(row) : nullptr; }
  double* bias(int64_t row) { return bias_ != nullptr ? biases_.of(row) : nullptr; }
  double* weight(int64_t row, int64_t first) { return weight_ != nullptr ? weights_.of(row) + first : nullptr; }
  double* bias(int64_t row, int64_t first) { return bias_ != nullptr ? biases_.of(row) + first : nullptr; }

 private:
  std::vector<double>*weight_, *bias_;
  RowSums weights_, biases_;
};

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

struct BlockAdjoint::Backward {
  const GradientSink& sink;
  ThreadPool& threads;
};

BlockAdjoint::BlockAdjoint(const Graph& graph, int index, const BlockWeights& weights, const RopeTable* rope)
    : graph_(graph),
      block_(graph.blocks[static_cast<size_t>(index)]),
      weights_(weights),
      rope_(rope),
      hidden_(graph.hidden) {}

// ---- forward ----

const InputRounder* BlockAdjoint::rounder_of(int linear) const {
  const auto found = weights_.rounders.find(block_.linears[static_cast<size_t>(linear)].input);
  return found == weights_.rounders.end() ? nullptr : &found->second;
}

// What the layer reads of x [rows, in]; empty: x itself.
BlockAdjoint::Values BlockAdjoint::rounded(int linear, const float* x, int64_t rows, ThreadPool& threads) const {
  const InputRounder* rounder = rounder_of(linear);
  if (rounder == nullptr) return {};
  const int64_t width = block_.linears[static_cast<size_t>(linear)].in;
  Values out = room(rows, width);
  rounder->round(x, rows, width, out.data(), threads);
  return out;
}

void BlockAdjoint::apply(int linear, const float* x, int64_t rows, float* y, ThreadPool& threads) {
  const LinearReader reader = {&weights_.linears[static_cast<size_t>(linear)], y};
  const Values read = rounded(linear, x, rows, threads);
  apply_layers({&reader, 1}, {read.empty() ? x : read.data()}, rows, linears_, threads);
}

BlockAdjoint::Values BlockAdjoint::normed(const NormWeights& norm, const Values& x, ThreadPool& threads) const {
  if (!norm.present()) return x;
  Values y(x.size());
  norm_rows(norm, x.data(), rows_, y.data(), threads);
  return y;
}

// to = residual(from + r post(branch))
void BlockAdjoint::add_branch(const Values& from, const Values& branch, const NormWeights& post,
                              const NormWeights& residual, float* to, ThreadPool& threads) const {
  for_rows(threads, rows_, [&](int64_t row) {
    float* out = to + row * hidden_;
    std::copy_n(branch.data() + row * hidden_, hidden_, out);
    if (post.present()) norm_row(post, out, out);
    for (int64_t i = 0; i < hidden_; ++i)
      out[i] = from[static_cast<size_t>(row * hidden_ + i)] + graph_.residual_scale * out[i];
    if (residual.present()) norm_row(residual, out, out);
  });
}

void BlockAdjoint::turn(const HeadView& view, int64_t heads, int64_t first_channel, int64_t row) const {
  if (rope_ == nullptr) return;
  const RowPosition& at = pass_->position(row);
  for (int64_t head = 0; head < heads; ++head) {
    rope_->rotate(at.position, at.length, view.at(row, head) + first_channel);
  }
}

void BlockAdjoint::norm_heads(const HeadView& view, int64_t heads, const NormWeights& norm, int64_t row) const {
  if (!norm.present()) return;
  const Attention& spec = block_.attention;
  if (spec.head_norm == HeadNorm::kAllHeads) return norm_row(norm, view.at(row, 0), view.at(row, 0));
  for (int64_t head = 0; head < heads; ++head) {
    const int64_t first = spec.head_norm == HeadNorm::kOwn ? head * spec.head_dim : 0;
    norm_row(norm, first, spec.head_dim, view.at(row, head), view.at(row, head));
  }
}

void BlockAdjoint::place_heads(const HeadView& view, int64_t heads, const NormWeights& norm,
                               ThreadPool& threads) const {
  for_rows(threads, rows_, [&](int64_t row) {
    if (block_.attention.rope_before_norm) turn(view, heads, 0, row);
    norm_heads(view, heads, norm, row);
    if (!block_.attention.rope_before_norm) turn(view, heads, 0, row);
  });
}

// See QueryScale.
float BlockAdjoint::query_factor(int64_t row) const {
  const auto& [beta, length] = block_.attention.query_scale;
  if (beta == 0.0f) return 1.0f;
  return 1.0f + beta * std::log(1.0f + static_cast<float>(pass_->position(row).position / length));
}

void BlockAdjoint::project_latents(ThreadPool& threads) {
  const Attention& spec = block_.attention;
  const LatentAttention& latent = spec.latent;
  const QkvViews views = qkv_views(spec, qkv_.data(), rows_);
  const int64_t unturned = spec.head_dim - latent.rope_dim, width = latent.rank + latent.rope_dim;
  kv_down_ = room(rows_, width), kv_latent_ = room(rows_, latent.rank);
  apply(latent.kv_down, attention_x_.data(), rows_, kv_down_.data(), threads);
  if (latent.q_down >= 0) {
    q_down_ = room(rows_, linear_at(block_, latent.q_down).out);
    apply(latent.q_down, attention_x_.data(), rows_, q_down_.data(), threads);
    q_latent_ = normed(weights_.q_latent_norm, q_down_, threads);
  }
  apply(spec.q, latent.q_down >= 0 ? q_latent_.data() : attention_x_.data(), rows_, views.q.data, threads);
  for_rows(threads, rows_, [&](int64_t row) {
    norm_row(weights_.kv_latent_norm, kv_down_.data() + row * width, kv_latent_.data() + row * latent.rank);
  });
  apply(latent.kv_up, kv_latent_.data(), rows_, views.v.data - unturned, threads);
  for_rows(threads, rows_, [&](int64_t row) {
    turn(views.q, spec.heads, unturned, row);
    for (int64_t head = 0; head < spec.heads; ++head) {
      std::copy_n(views.v.at(row, head) - unturned, unturned, views.k.at(row, head));
      std::copy_n(kv_down_.data() + row * width + latent.rank, latent.rope_dim, views.k.at(row, head) + unturned);
    }
    turn(views.k, spec.heads, unturned, row);
  });
}

void BlockAdjoint::project(ThreadPool& threads) {
  const Attention& spec = block_.attention;
  qkv_ = room(rows_, qkv_width(spec));
  if (spec.layout == QkvLayout::kLatent) return project_latents(threads);
  raw_ = room(rows_, qkv_width(spec));
  const QkvViews raw = qkv_views(spec, raw_.data(), rows_);
  apply(spec.q, attention_x_.data(), rows_, raw.q.data, threads);
  if (spec.layout == QkvLayout::kSeparate) {
    apply(spec.k, attention_x_.data(), rows_, raw.k.data, threads);
    if (spec.v >= 0) {
      apply(spec.v, attention_x_.data(), rows_, raw.v.data, threads);
    } else {
      std::copy_n(raw.k.data, rows_ * raw.k.row_stride, raw.v.data);
    }
  }
  qkv_ = raw_;
  if (spec.clip > 0.0f) {
    for (float& x : qkv_) x = std::clamp(x, -spec.clip, spec.clip);
  }
  const QkvViews views = qkv_views(spec, qkv_.data(), rows_);
  place_heads(views.q, spec.heads, weights_.q_norm, threads);
  place_heads(views.k, spec.kv_heads, weights_.k_norm, threads);
  for_rows(threads, rows_, [&](int64_t row) {
    norm_heads(views.v, spec.kv_heads, weights_.v_norm, row);
    const float factor = query_factor(row);
    for (int64_t head = 0; head < spec.heads && factor != 1.0f; ++head) {
      float* q = views.q.at(row, head);
      for (int64_t i = 0; i < spec.head_dim; ++i) q[i] *= factor;
    }
  });
}

AttentionCall BlockAdjoint::attention_call() {
  const Attention& spec = block_.attention;
  const QkvViews views = qkv_views(spec, qkv_.data(), rows_);
  AttentionCall call;
  call.pass = pass_;
  call.q = views.q, call.k = views.k, call.v = views.v;
  call.heads = spec.heads, call.kv_heads = spec.kv_heads, call.head_dim = spec.head_dim;
  call.value_dim = spec.value_dim, call.scale = spec.scale, call.softcap = spec.softcap;
  call.mask = spec.mask, call.window = spec.window, call.alibi = spec.alibi, call.sinks = weights_.sinks;
  call.out = attended_.data();
  return call;
}

void BlockAdjoint::run_mlp(const Mlp& mlp, const float* x, int64_t rows, MlpTape& tape, ThreadPool& threads) {
  const int64_t width = mlp.width;
  tape.rows = rows;
  tape.gate = room(mlp.gated ? rows : 0, mlp.fused_gate_up ? 2 * width : width);
  tape.up = room(mlp.fused_gate_up ? 0 : rows, width);
  tape.inner = room(rows, width), tape.out = room(rows, hidden_);
  if (rows == 0) return;
  if (mlp.gated) apply(mlp.gate, x, rows, tape.gate.data(), threads);
  if (!mlp.fused_gate_up) apply(mlp.up, x, rows, tape.up.data(), threads);
  for_rows(threads, rows, [&](int64_t row) {
    float* inner = tape.inner.data() + row * width;
    if (!mlp.gated) return activate(mlp.activation, tape.up.data() + row * width, width, inner);
    const float* gate = tape.gate.data() + row * (mlp.fused_gate_up ? 2 * width : width);
    activate_gated(mlp, gate, mlp.fused_gate_up ? gate + width : tape.up.data() + row * width, width, inner);
  });
  apply(mlp.down, tape.inner.data(), rows, tape.out.data(), threads);
}

// mlp_out_ += what the experts give
void BlockAdjoint::run_experts(ThreadPool& threads) {
  const Experts& experts = block_.experts;
  router_logits_ = room(rows_, static_cast<int64_t>(experts.mlps.size()));
  apply(experts.router, mlp_x_.data(), rows_, router_logits_.data(), threads);
  routing_.logits = router_logits_;
  route(experts, weights_.choice_bias, rows_, routing_);
  routed_ = room(rows_ * experts.top_k, hidden_), expert_out_ = routed_;
  gather_routed(routing_, rows_, mlp_x_.data(), hidden_, routed_.data(), threads);
  experts_.resize(experts.mlps.size());
  for (size_t e = 0; e < experts_.size(); ++e) {
    const int64_t begin = routing_.begin(static_cast<int>(e)) * hidden_;
    run_mlp(experts.mlps[e], routed_.data() + begin, routing_.count(static_cast<int>(e)), experts_[e], threads);
    std::copy(experts_[e].out.begin(), experts_[e].out.end(), expert_out_.begin() + begin);
  }
  add_routed(routing_, rows_, expert_out_.data(), hidden_, mlp_out_.data(), threads);
}

void BlockAdjoint::run(const Pass& pass, float* hidden, ThreadPool& threads) {
  pass_ = &pass, rows_ = pass.rows();
  in_.assign(hidden, hidden + rows_ * hidden_);
  attention_x_ = normed(weights_.attention_norm, in_, threads);
  project(threads);
  attended_ = room(rows_, block_.attention.heads * block_.attention.values());
  attention(attention_call(), scratch_, threads);
  attention_out_ = room(rows_, hidden_), stream_ = attention_out_;
  apply(block_.attention.output, attended_.data(), rows_, attention_out_.data(), threads);
  add_branch(in_, attention_out_, weights_.post_attention_norm, weights_.attention_residual_norm, stream_.data(),
             threads);
  mlp_x_ = normed(weights_.mlp_norm, block_.parallel ? in_ : stream_, threads);
  mlp_out_ = room(rows_, hidden_);
  if (block_.mlp.present()) {
    run_mlp(block_.mlp, mlp_x_.data(), rows_, mlp_, threads);
    mlp_out_ = mlp_.out;
  }
  if (block_.experts.shared_gate >= 0) {
    shared_gate_ = room(rows_, 1);
    apply(block_.experts.shared_gate, mlp_x_.data(), rows_, shared_gate_.data(), threads);
    for (int64_t i = 0; i < rows_ * hidden_; ++i)
      mlp_out_[static_cast<size_t>(i)] *= sigmoid(shared_gate_[static_cast<size_t>(i / hidden_)]);
  }
  if (block_.experts.present()) run_experts(threads);
  add_branch(stream_, mlp_out_, weights_.post_mlp_norm, weights_.mlp_residual_norm, hidden, threads);
  if (weights_.output_scale == 1.0f && block_.output_scale.empty()) return;
  out_.assign(hidden, hidden + rows_ * hidden_);
  for (int64_t i = 0; i < rows_ * hidden_; ++i) hidden[i] *= weights_.output_scale;
}

// ---- backward ----

// y = r(x) W^T + b:  dx += dy W straight through r,  db += sum over rows of dy
void BlockAdjoint::linear_adjoint(const Backward& back, int linear, const float* x, int64_t rows, const float* dy,
                                  float* dx) const {
  if (rows == 0) return;
  const LinearWeights& layer = weights_.linears[static_cast<size_t>(linear)];
  const Linear& named = linear_at(block_, linear);
  const int64_t out = layer.out();
  if (back.sink.linear) {
    const Values read = rounded(linear, x, rows, back.threads);
    back.sink.linear(named, {read.empty() ? x : read.data(), static_cast<size_t>(rows * layer.in())},
                     {dy, static_cast<size_t>(rows * out)});
  }
  if (std::vector<double>* bias = place_of(back.sink, named.bias, layer.bias.size()); bias != nullptr) {
    RowSums sums(rows, out);
    for_rows(back.threads, rows, [&](int64_t row) {
      double* sum = sums.of(row);
      for (int64_t i = 0; i < out; ++i) sum[i] += dy[row * out + i];
    });
    sums.add_to(*bias);
  }
  const InputRounder* rounder = rounder_of(linear);
  if (rounder == nullptr || rounder->passes_gradients()) return add_linear_adjoint(layer, dy, rows, dx, back.threads);
  Values own = room(rows, layer.in());
  add_linear_adjoint(layer, dy, rows, own.data(), back.threads);
  rounder->round_adjoint(x, rows, layer.in(), own.data(), back.threads);
  for (size_t i = 0; i < own.size(); ++i) dx[i] += own[i];
}

// Of add_branch(): d_stream of what it gives becomes that of `from`; d_branch is set.
void BlockAdjoint::branch_adjoint(const Backward& back, const Values& from, const Values& branch,
                                  const NormWeights& post, const NormWeights& residual, const Norm& post_name,
                                  const Norm& residual_name, float* d_stream, Values& d_branch) const {
  NormSums posts(back.sink, post_name, post, rows_), residuals(back.sink, residual_name, residual, rows_);
  d_branch = room(rows_, hidden_);
  for_rows(back.threads, rows_, [&](int64_t row) {
    const float* b = branch.data() + row * hidden_;
    float *d = d_stream + row * hidden_, *db = d_branch.data() + row * hidden_;
    if (residual.present()) {
      std::copy_n(b, hidden_, db);  // the sum that was normed
      if (post.present()) norm_row(post, db, db);
      for (int64_t i = 0; i < hidden_; ++i)
        db[i] = from[static_cast<size_t>(row * hidden_ + i)] + graph_.residual_scale * db[i];
      norm_row_adjoint(residual, 0, hidden_, db, d, d, residuals.weight(row), residuals.bias(row));
    }
    for (int64_t i = 0; i < hidden_; ++i) db[i] = graph_.residual_scale * d[i];
    if (post.present()) norm_row_adjoint(post, 0, hidden_, b, db, db, posts.weight(row), posts.bias(row));
  });
}

void BlockAdjoint::mlp_adjoint(const Backward& back, const Mlp& mlp, const MlpTape& tape, const float* x,
                               const float* d_out, float* dx) const {
  const int64_t rows = tape.rows, width = mlp.width, gate_width = mlp.fused_gate_up ? 2 * width : width;
  Values d_inner = room(rows, width), d_gate(tape.gate.size()), d_up(tape.up.size());
  linear_adjoint(back, mlp.down, tape.inner.data(), rows, d_out, d_inner.data());
  for_rows(back.threads, rows, [&](int64_t row) {
    const float* d = d_inner.data() + row * width;
    if (!mlp.gated) {
      return activate_adjoint(mlp.activation, tape.up.data() + row * width, d, width, d_up.data() + row * width);
    }
    const float* gate = tape.gate.data() + row * gate_width;
    float* to_gate = d_gate.data() + row * gate_width;
    const float* up = mlp.fused_gate_up ? gate + width : tape.up.data() + row * width;
    float* to_up = mlp.fused_gate_up ? to_gate + width : d_up.data() + row * width;
    activate_gated_adjoint(mlp, gate, up, d, width, to_gate, to_up);
  });
  if (!mlp.fused_gate_up) linear_adjoint(back, mlp.up, x, rows, d_up.data(), dx);
  if (mlp.gated) linear_adjoint(back, mlp.gate, x, rows, d_gate.data(), dx);
}

void BlockAdjoint::experts_adjoint(const Backward& back, const Values& d_branch, Values& dx) {
  const Experts& experts = block_.experts;
  Values d_out(expert_out_.size()), d_routed(routed_.size()), d_logits(router_logits_.size());
  Values d_weights = room(rows_, experts.top_k);
  add_routed_adjoint(routing_, rows_, expert_out_.data(), d_branch.data(), hidden_, d_out.data(), d_weights.data(),
                     back.threads);
  for (size_t e = 0; e < experts_.size(); ++e) {
    const int64_t begin = routing_.begin(static_cast<int>(e)) * hidden_;
    mlp_adjoint(back, experts.mlps[e], experts_[e], routed_.data() + begin, d_out.data() + begin,
                d_routed.data() + begin);
  }
  gather_routed_adjoint(routing_, rows_, d_routed.data(), hidden_, dx.data(), back.threads);
  route_adjoint(experts, router_logits_.data(), rows_, routing_, d_weights.data(), d_logits.data(), back.threads);
  linear_adjoint(back, experts.router, mlp_x_.data(), rows_, d_logits.data(), dx.data());
}

// dx [rows, hidden] of mlp_x_; with a shared gate z, y = sigmoid(z) mlp(x):  dz = sigmoid'(z) dy . mlp(x)
void BlockAdjoint::mlps_adjoint(const Backward& back, Values& d_branch, Values& dx) {
  if (block_.experts.present()) experts_adjoint(back, d_branch, dx);
  if (!block_.mlp.present()) return;
  if (block_.experts.shared_gate >= 0) {
    Values d_gate = room(rows_, 1);
    for_rows(back.threads, rows_, [&](int64_t row) {
      const float s = sigmoid(shared_gate_[static_cast<size_t>(row)]);
      float* d = d_branch.data() + row * hidden_;
      double along = 0;
      for (int64_t i = 0; i < hidden_; ++i) {
        along += static_cast<double>(d[i]) * mlp_.out[static_cast<size_t>(row * hidden_ + i)];
        d[i] *= s;
      }
      d_gate[static_cast<size_t>(row)] = static_cast<float>(along * s * (1.0 - s));
    });
    linear_adjoint(back, block_.experts.shared_gate, mlp_x_.data(), rows_, d_gate.data(), dx.data());
  }
  mlp_adjoint(back, block_.mlp, mlp_, mlp_x_.data(), d_branch.data(), dx.data());
}

// Of place_heads(), or of a norm alone: the gradients of `view`'s heads become those of raw ones, clamped.
void BlockAdjoint::heads_adjoint(const Backward& back, const HeadView& view, const HeadView& raw, int64_t heads,
                                 const NormWeights& norm, const Norm& name, bool turns) const {
  const Attention& spec = block_.attention;
  NormSums sums(back.sink, name, norm, rows_);
  const bool together = spec.head_norm == HeadNorm::kAllHeads;
  const int64_t runs = together ? 1 : heads, width = together ? heads * spec.head_dim : spec.head_dim;
  const auto turn_back = [&](int64_t row) {
    if (!turns || rope_ == nullptr) return;
    const RowPosition& at = pass_->position(row);
    for (int64_t head = 0; head < heads; ++head) rope_->rotate_adjoint(at.position, at.length, view.at(row, head));
  };
  const auto norm_back = [&](int64_t row) {
    Values x(static_cast<size_t>(width));
    for (int64_t run = 0; run < runs; ++run) {
      std::copy_n(raw.at(row, run), width, x.data());
      if (spec.clip > 0.0f) {
        for (float& value : x) value = std::clamp(value, -spec.clip, spec.clip);
      }
      const RowPosition& at = pass_->position(row);
      for (int64_t i = 0; turns && spec.rope_before_norm && rope_ != nullptr && i < width; i += spec.head_dim) {
        rope_->rotate(at.position, at.length, x.data() + i);
      }
      const int64_t first = spec.head_norm == HeadNorm::kOwn ? run * spec.head_dim : 0;
      float* d = view.at(row, run);
      norm_row_adjoint(norm, first, width, x.data(), d, d, sums.weight(row, first), sums.bias(row, first));
    }
  };
  for_rows(back.threads, rows_, [&](int64_t row) {
    if (!spec.rope_before_norm) turn_back(row);
    if (norm.present()) norm_back(row);
    if (spec.rope_before_norm) turn_back(row);
    for (int64_t head = 0; head < heads && spec.clip > 0.0f; ++head) {
      for (int64_t i = 0; i < spec.head_dim; ++i) {
        if (std::abs(raw.at(row, head)[i]) > spec.clip) view.at(row, head)[i] = 0.0f;
      }
    }
  });
}

// Of project_latents(): see LatentAttention.
void BlockAdjoint::latents_adjoint(const Backward& back, Values& d_qkv, Values& dx) {
  const Attention& spec = block_.attention;
  const LatentAttention& latent = spec.latent;
  const QkvViews d = qkv_views(spec, d_qkv.data(), rows_);
  const int64_t unturned = spec.head_dim - latent.rope_dim, width = latent.rank + latent.rope_dim;
  Values d_down = room(rows_, width), d_latent = room(rows_, latent.rank);
  for_rows(back.threads, rows_, [&](int64_t row) {
    const RowPosition& at = pass_->position(row);
    float* shared = d_down.data() + row * width + latent.rank;
    for (int64_t head = 0; head < spec.heads; ++head) {
      const float* k = d.k.at(row, head);
      std::copy_n(k, unturned, d.v.at(row, head) - unturned);
      for (int64_t i = 0; i < latent.rope_dim; ++i) shared[i] += k[unturned + i];
      if (rope_ != nullptr) rope_->rotate_adjoint(at.position, at.length, d.q.at(row, head) + unturned);
    }
    if (rope_ != nullptr) rope_->rotate_adjoint(at.position, at.length, shared);
  });
  linear_adjoint(back, latent.kv_up, kv_latent_.data(), rows_, d.v.data - unturned, d_latent.data());
  {
    NormSums sums(back.sink, latent.kv_norm, weights_.kv_latent_norm, rows_);
    for_rows(back.threads, rows_, [&](int64_t row) {
      norm_row_adjoint(weights_.kv_latent_norm, 0, latent.rank, kv_down_.data() + row * width,
                       d_latent.data() + row * latent.rank, d_down.data() + row * width, sums.weight(row), nullptr);
    });
  }
  linear_adjoint(back, latent.kv_down, attention_x_.data(), rows_, d_down.data(), dx.data());
  if (latent.q_down < 0) return linear_adjoint(back, spec.q, attention_x_.data(), rows_, d.q.data, dx.data());
  const int64_t rank = linear_at(block_, latent.q_down).out;
  Values d_q = room(rows_, rank);
  linear_adjoint(back, spec.q, q_latent_.data(), rows_, d.q.data, d_q.data());
  {
    NormSums sums(back.sink, latent.q_norm, weights_.q_latent_norm, rows_);
    for_rows(back.threads, rows_, [&](int64_t row) {
      float* of_row = d_q.data() + row * rank;
      norm_row_adjoint(weights_.q_latent_norm, 0, rank, q_down_.data() + row * rank, of_row, of_row, sums.weight(row),
                       nullptr);
    });
  }
  linear_adjoint(back, latent.q_down, attention_x_.data(), rows_, d_q.data(), dx.data());
}

// dx of attention_x_ by d_out of what the output layer gives.
void BlockAdjoint::attention_backward(const Backward& back, const Values& d_out, Values& dx) {
  const Attention& spec = block_.attention;
  Values d_attended = room(rows_, spec.heads * spec.values()), d_qkv = room(rows_, qkv_width(spec));
  linear_adjoint(back, spec.output, attended_.data(), rows_, d_out.data(), d_attended.data());
  const QkvViews d = qkv_views(spec, d_qkv.data(), rows_);
  std::vector<double>* sinks = place_of(back.sink, spec.sinks, weights_.sinks.size());
  attention_adjoint(attention_call(), {d_attended.data(), d.q, d.k, d.v, sinks ? sinks->data() : nullptr},
                    back.threads);
  if (spec.layout == QkvLayout::kLatent) return latents_adjoint(back, d_qkv, dx);
  for_rows(back.threads, rows_, [&](int64_t row) {
    const float factor = query_factor(row);
    for (int64_t head = 0; head < spec.heads && factor != 1.0f; ++head) {
      for (int64_t i = 0; i < spec.head_dim; ++i) d.q.at(row, head)[i] *= factor;
    }
  });
  const QkvViews raw = qkv_views(spec, raw_.data(), rows_);
  heads_adjoint(back, d.q, raw.q, spec.heads, weights_.q_norm, spec.q_norm, true);
  heads_adjoint(back, d.k, raw.k, spec.kv_heads, weights_.k_norm, spec.k_norm, true);
  heads_adjoint(back, d.v, raw.v, spec.kv_heads, weights_.v_norm, {}, false);
  linear_adjoint(back, spec.q, attention_x_.data(), rows_, d.q.data, dx.data());
  if (spec.layout != QkvLayout::kSeparate) return;
  if (spec.v < 0) {  // values are what k gives
    for (int64_t i = 0; i < rows_ * d.k.row_stride; ++i) d.k.data[i] += d.v.data[i];
  }
  linear_adjoint(back, spec.k, attention_x_.data(), rows_, d.k.data, dx.data());
  if (spec.v >= 0) linear_adjoint(back, spec.v, attention_x_.data(), rows_, d.v.data, dx.data());
}

void BlockAdjoint::backward(float* gradient, const GradientSink& sink, ThreadPool& threads) {
  const Backward back{sink, threads};
  const int64_t count = rows_ * hidden_;
  if (!block_.output_scale.empty()) {
    double along = 0;
    for (int64_t i = 0; i < count; ++i) along += static_cast<double>(gradient[i]) * out_[static_cast<size_t>(i)];
    if (auto* scale = place_of(sink, block_.output_scale, 1); scale != nullptr) scale->front() += along;
    for (int64_t i = 0; i < count; ++i) gradient[i] *= weights_.output_scale;
  }
  // d <- d + dx, through the norm that made x of the stream.
  const auto add_normed = [&](const NormWeights& norm, const Norm& name, const Values& stream, Values& dx, float* d) {
    NormSums sums(sink, name, norm, rows_);
    for_rows(threads, rows_, [&](int64_t row) {
      float* of_row = dx.data() + row * hidden_;
      const float* x = stream.data() + row * hidden_;
      if (norm.present()) norm_row_adjoint(norm, 0, hidden_, x, of_row, of_row, sums.weight(row), sums.bias(row));
      for (int64_t i = 0; i < hidden_; ++i) d[row * hidden_ + i] += of_row[i];
    });
  };
  Values d_branch, d_mlp = room(rows_, hidden_), d_attention = room(rows_, hidden_);
  branch_adjoint(back, stream_, mlp_out_, weights_.post_mlp_norm, weights_.mlp_residual_norm, block_.post_mlp_norm,
                 block_.mlp_residual_norm, gradient, d_branch);
  mlps_adjoint(back, d_branch, d_mlp);
  if (!block_.parallel) add_normed(weights_.mlp_norm, block_.mlp_norm, stream_, d_mlp, gradient);
  branch_adjoint(back, in_, attention_out_, weights_.post_attention_norm, weights_.attention_residual_norm,
                 block_.post_attention_norm, block_.attention_residual_norm, gradient, d_branch);
  attention_backward(back, d_branch, d_attention);
  add_normed(weights_.attention_norm, block_.attention_norm, in_, d_attention, gradient);
  if (block_.parallel) add_normed(weights_.mlp_norm, block_.mlp_norm, in_, d_mlp, gradient);
}

}  // namespace bitloom
