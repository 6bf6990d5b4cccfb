#pragma once
// For tests only: a model in fp64, every formula of model/graph.h read literally, one token after the other.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/block_parts.h"
#include "model/model.h"

namespace bitloom::testing {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

class ReferenceForward {
 public:
  explicit ReferenceForward(const Model& model) : model_(model), graph_(model.graph()) {}

  /// Values of a linear's weight W [out, in] or of a vector, by the graph's name; may be changed.
  std::vector<double>& values(const Linear& linear) {
    const auto [at, fresh] = tensors_.try_emplace(linear.weight);
    if (fresh) at->second = widened(model_.matrix(linear)->decode_all());
    return at->second;
  }
  std::vector<double>& values(const std::string& name) {
    const auto [at, fresh] = tensors_.try_emplace(name);
    if (fresh) at->second = widened(model_.vector(name));
    return at->second;
  }

  /// -sum over positions but the last of log softmax(logits)[next token], of one sequence. `first` [tokens, hidden]:
  /// what the first block reads in place of the embedded tokens.
  double loss(const std::vector<int32_t>& tokens, const Rows* first = nullptr) {
    Rows h = first != nullptr ? *first : embedded(tokens);
    for (const Block& block : graph_.blocks) run(block, h);
    double total = 0;
    for (size_t t = 0; t + 1 < h.size(); ++t) {
      const Row z = logits(h[t]);
      const double most = *std::max_element(z.begin(), z.end());
      double sum = 0;
      for (const double x : z) sum += std::exp(x - most);
      total += most + std::log(sum) - z[static_cast<size_t>(tokens[t + 1])];
    }
    return total;
  }

  Rows embedded(const std::vector<int32_t>& tokens) {
    Rows h;
    const auto width = static_cast<size_t>(model_.tensor(graph_.embedding).shape[1]);
    const std::vector<double>& table = values(graph_.embedding);
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto at = table.begin() + static_cast<int64_t>(static_cast<size_t>(tokens[t]) * width);
      Row x(at, at + static_cast<int64_t>(width));
      for (double& v : x) v *= graph_.embedding_scale;
      if (graph_.project_in.present()) x = apply(graph_.project_in, x);
      if (!graph_.position_embedding.empty()) {
        const std::vector<double>& learned = values(graph_.position_embedding);
        const size_t begin = (t + static_cast<size_t>(graph_.position_offset)) * x.size();
        for (size_t i = 0; i < x.size(); ++i) x[i] += learned[begin + i];
      }
      h.push_back(norm(graph_.embedding_norm, x));
    }
    return h;
  }

 private:
  static std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

  Row apply(const Linear& linear, const Row& x) {
    const std::vector<double>& w = values(linear);
    Row y(static_cast<size_t>(linear.out));
    if (!linear.bias.empty()) y = values(linear.bias);
    for (size_t o = 0; o < y.size(); ++o) {
      for (size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    }
    return y;
  }

  // x by weights and biases [first, first + x.size()) of the norm; empty w: ones.
  Row norm(NormKind kind, double eps, const std::vector<double>& w, const std::vector<double>& b, size_t first, Row x) {
    const auto n = static_cast<double>(x.size());
    double mean = 0, squares = 0;
    for (const double v : x) mean += subtracts_mean(kind) ? v / n : 0;
    for (const double v : x) squares += (v - mean) * (v - mean) / n;
    for (size_t i = 0; i < x.size(); ++i) {
      const double weight = w.empty() ? 1 : w[first + i] + (adds_one(kind) ? 1 : 0);
      x[i] = (x[i] - mean) / std::sqrt(squares + eps) * weight + (b.empty() ? 0 : b[first + i]);
    }
    return x;
  }
  Row norm(const Norm& named, const Row& x, size_t first = 0) {
    if (!named.present()) return x;
    const std::vector<double> w = named.weight.empty() ? std::vector<double>() : values(named.weight);
    const std::vector<double> b = named.bias.empty() ? std::vector<double>() : values(named.bias);
    return norm(graph_.norm, graph_.norm_eps, w, b, first, x);
  }

  static double activated(Activation kind, double x) {
    switch (kind) {
      case Activation::kSilu:
        return x * sigmoid(x);
      case Activation::kGelu:
        return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
      case Activation::kGeluTanh:
        return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
      case Activation::kRelu:
        return std::max(x, 0.0);
      case Activation::kReluSquared:
        return std::pow(std::max(x, 0.0), 2);
    }
    return 0;
  }

  Row mlp(const Block& block, const Mlp& mlp, const Row& x) {
    const auto width = static_cast<size_t>(mlp.width);
    Row gate, up;
    if (mlp.gated) gate = apply(linear_at(block, mlp.gate), x);
    up = mlp.fused_gate_up ? Row(gate.begin() + mlp.width, gate.end()) : apply(linear_at(block, mlp.up), x);
    Row inner(width);
    for (size_t i = 0; i < width; ++i) {
      if (!mlp.gated) {
        inner[i] = activated(mlp.activation, up[i]);
      } else if (mlp.clamp > 0) {
        const double c = mlp.clamp, g = std::min(gate[i], c), u = std::clamp(up[i], -c, c);
        inner[i] = g * sigmoid(mlp.gate_slope * g) * (u + 1);
      } else {
        inner[i] = activated(mlp.activation, gate[i]) * up[i];
      }
    }
    return apply(linear_at(block, mlp.down), inner);
  }

  // Weights of the experts that are chosen.
  std::map<size_t, double> routed(const Experts& experts, const Row& l) {
    Row p(l.size()), ranked;
    if (experts.score == RouterScore::kSparseMixer) return mixed(experts, l);
    double sum = 0;
    for (size_t e = 0; e < l.size(); ++e) {
      p[e] = experts.score == RouterScore::kSigmoid ? sigmoid(l[e]) : std::exp(l[e]);
      sum += p[e];
    }
    for (double& x : p) x /= experts.score == RouterScore::kSoftmax ? sum : 1;
    ranked = p;
    for (size_t e = 0; e < l.size() && !experts.choice_bias.empty(); ++e) ranked[e] += values(experts.choice_bias)[e];
    keep_best_groups(experts, ranked);
    std::map<size_t, double> chosen;
    double taken = 0;
    for (int64_t k = 0; k < experts.top_k; ++k) {
      const auto best = static_cast<size_t>(std::max_element(ranked.begin(), ranked.end()) - ranked.begin());
      taken += chosen[best] = p[best];
      ranked[best] = -INFINITY;
    }
    for (auto& [e, w] : chosen) {
      w *= experts.weight_scale / (experts.normalized ? std::max(taken, static_cast<double>(experts.least_sum)) : 1);
    }
    return chosen;
  }
  static std::map<size_t, double> mixed(const Experts& experts, Row l) {
    std::map<size_t, double> chosen;
    for (int64_t k = 0; k < experts.top_k; ++k) {
      const auto best = static_cast<size_t>(std::max_element(l.begin(), l.end()) - l.begin());
      double sum = 0;
      for (const double x : l) {
        if (std::isinf(x) || (l[best] - x) / std::max(std::abs(x), l[best]) > experts.mixer_margin) continue;
        sum += std::exp(x - l[best]);
      }
      chosen[best] = experts.weight_scale / sum;
      l[best] = -INFINITY;
    }
    return chosen;
  }
  static void keep_best_groups(const Experts& experts, Row& ranked) {
    const auto size = static_cast<int64_t>(ranked.size()) / experts.groups;
    std::vector<std::pair<double, int64_t>> sums;
    for (int64_t g = 0; g < experts.groups; ++g) {
      Row of_group(ranked.begin() + g * size, ranked.begin() + (g + 1) * size);
      std::sort(of_group.rbegin(), of_group.rend());
      double sum = 0;
      for (int64_t i = 0; i < std::min(size, experts.group_best); ++i) sum += of_group[static_cast<size_t>(i)];
      sums.emplace_back(-sum, g);
    }
    std::sort(sums.begin(), sums.end());
    for (size_t i = static_cast<size_t>(experts.top_groups); i < sums.size(); ++i) {
      std::fill_n(ranked.begin() + sums[i].second * size, size, -INFINITY);
    }
  }

  Row feed_forward(const Block& block, const Row& x) {
    Row y(x.size());
    if (block.mlp.present()) {
      y = mlp(block, block.mlp, x);
      const int gate = block.experts.shared_gate;
      const double factor = gate < 0 ? 1 : sigmoid(apply(linear_at(block, gate), x)[0]);
      for (double& v : y) v *= factor;
    }
    if (!block.experts.present()) return y;
    for (const auto& [e, weight] : routed(block.experts, apply(linear_at(block, block.experts.router), x))) {
      const Row part = mlp(block, block.experts.mlps[e], x);
      for (size_t i = 0; i < y.size(); ++i) y[i] += weight * part[i];
    }
    return y;
  }

  // The last or first 2 n channels of x from `begin` on turn.
  void turn(const Attention& spec, int64_t position, int64_t length, Row& x, size_t begin) const {
    if (spec.rope < 0) return;
    const Rope& rope = graph_.ropes[static_cast<size_t>(spec.rope)];
    const bool is_long = rope.max_length > 0 && length > rope.max_length;
    const std::vector<double>& frequencies = is_long ? rope.long_inv_freq : rope.inv_freq;
    const size_t n = frequencies.size();
    for (size_t i = 0; i < n; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      const double c = std::cos(angle) * rope.attention_factor, s = std::sin(angle) * rope.attention_factor;
      double& a = x[begin + (rope.interleaved ? 2 * i : i)];
      double& b = x[begin + (rope.interleaved ? 2 * i + 1 : i + n)];
      const double old = a;
      a = old * c - b * s, b = b * c + old * s;
    }
  }

  struct Heads {
    Rows q, k, v;  // by head
  };

  // x's channels [begin, begin + dim) of every head.
  static Rows heads_of(const Row& x, int64_t count, const std::vector<int64_t>& begins, int64_t dim) {
    Rows heads;
    for (int64_t h = 0; h < count; ++h) {
      const auto at = x.begin() + begins[static_cast<size_t>(h)];
      heads.emplace_back(at, at + dim);
    }
    return heads;
  }

  void norm_heads(const Attention& spec, const Norm& named, Rows& heads) {
    if (!named.present()) return;
    if (spec.head_norm != HeadNorm::kAllHeads) {
      for (size_t h = 0; h < heads.size(); ++h) {
        heads[h] = norm(named, heads[h], spec.head_norm == HeadNorm::kOwn ? h * heads[h].size() : 0);
      }
      return;
    }
    Row all;
    for (const Row& head : heads) all.insert(all.end(), head.begin(), head.end());
    all = norm(named, all);
    size_t at = 0;
    for (Row& head : heads) {
      for (double& v : head) v = all[at++];
    }
  }

  Heads latent_heads(const Block& block, const Row& x, int64_t position, int64_t length) {
    const Attention& spec = block.attention;
    const LatentAttention& latent = spec.latent;
    const auto latent_norm = [&](const Norm& named, const Row& of) {
      return norm(NormKind::kRms, latent.norm_eps, values(named.weight), {}, 0, of);
    };
    Row c = x;
    if (latent.q_down >= 0) c = latent_norm(latent.q_norm, apply(linear_at(block, latent.q_down), x));
    const Row q = apply(linear_at(block, spec.q), c), down = apply(linear_at(block, latent.kv_down), x);
    Row shared(down.begin() + latent.rank, down.end());
    turn(spec, position, length, shared, 0);
    const Row kv = apply(linear_at(block, latent.kv_up),
                         latent_norm(latent.kv_norm, Row(down.begin(), down.begin() + latent.rank)));
    const int64_t unturned = spec.head_dim - latent.rope_dim, per_head = unturned + spec.values();
    Heads heads;
    for (int64_t h = 0; h < spec.heads; ++h) {
      Row& own = heads.q.emplace_back(q.begin() + h * spec.head_dim, q.begin() + (h + 1) * spec.head_dim);
      turn(spec, position, length, own, static_cast<size_t>(unturned));
      Row& k = heads.k.emplace_back(kv.begin() + h * per_head, kv.begin() + h * per_head + unturned);
      k.insert(k.end(), shared.begin(), shared.end());
      heads.v.emplace_back(kv.begin() + h * per_head + unturned, kv.begin() + (h + 1) * per_head);
    }
    return heads;
  }

  Heads make_heads(const Block& block, const Row& x, int64_t position, int64_t length) {
    const Attention& spec = block.attention;
    if (spec.layout == QkvLayout::kLatent) return latent_heads(block, x, position, length);
    const int64_t dim = spec.head_dim, group = spec.heads / spec.kv_heads;
    Row all = apply(linear_at(block, spec.q), x);
    if (spec.layout == QkvLayout::kSeparate) {
      for (const int linear : {spec.k, spec.v >= 0 ? spec.v : spec.k}) {
        const Row more = apply(linear_at(block, linear), x);
        all.insert(all.end(), more.begin(), more.end());
      }
    }
    for (double& v : all) v = spec.clip > 0 ? std::clamp(v, -1.0 * spec.clip, 1.0 * spec.clip) : v;
    std::vector<int64_t> q, k, v;
    for (int64_t h = 0; h < spec.heads; ++h) {
      q.push_back(spec.layout == QkvLayout::kPerHead ? (h / group * (group + 2) + h % group) * dim : h * dim);
    }
    for (int64_t h = 0; h < spec.kv_heads; ++h) {
      const bool per_head = spec.layout == QkvLayout::kPerHead;
      k.push_back(per_head ? (h * (group + 2) + group) * dim : (spec.heads + h) * dim);
      v.push_back(per_head ? k.back() + dim : (spec.heads + spec.kv_heads + h) * dim);
    }
    Heads heads{heads_of(all, spec.heads, q, dim), heads_of(all, spec.kv_heads, k, dim),
                heads_of(all, spec.kv_heads, v, dim)};
    const auto turn_all = [&](Rows& of) {
      for (Row& head : of) turn(spec, position, length, head, 0);
    };
    if (spec.rope_before_norm) turn_all(heads.q), turn_all(heads.k);
    norm_heads(spec, spec.q_norm, heads.q), norm_heads(spec, spec.k_norm, heads.k);
    if (!spec.rope_before_norm) turn_all(heads.q), turn_all(heads.k);
    for (Row& head : heads.v) {
      if (spec.norm_values) head = norm(NormKind::kRms, graph_.norm_eps, {}, {}, 0, head);
    }
    const auto& [beta, period] = spec.query_scale;
    for (Row& head : heads.q) {
      for (double& value : head) value *= 1 + beta * std::log(1.0 + static_cast<double>(position / period));
    }
    return heads;
  }

  Rows attention(const Block& block, const Rows& x) {
    const Attention& spec = block.attention;
    const auto length = static_cast<int64_t>(x.size());
    std::vector<Heads> heads;
    for (int64_t t = 0; t < length; ++t) heads.push_back(make_heads(block, x[static_cast<size_t>(t)], t, length));
    Rows out;
    for (int64_t i = 0; i < length; ++i) {
      Row all;
      for (int64_t h = 0; h < spec.heads; ++h) {
        const auto kv = static_cast<size_t>(h * spec.kv_heads / spec.heads);
        const Row& q = heads[static_cast<size_t>(i)].q[static_cast<size_t>(h)];
        Row y(static_cast<size_t>(spec.values()));
        double sum = spec.sinks.empty() ? 0 : std::exp(values(spec.sinks)[static_cast<size_t>(h)]);
        for (int64_t j = 0; j < length; ++j) {
          if (spec.mask == Mask::kCausal && j > i) continue;
          if (spec.window > 0 && std::abs(i - j) >= spec.window) continue;
          const Heads& other = heads[static_cast<size_t>(j)];
          double score = 0;
          for (size_t c = 0; c < q.size(); ++c) score += spec.scale * q[c] * other.k[kv][c];
          if (!spec.alibi.empty()) score += spec.alibi[static_cast<size_t>(h)] * static_cast<double>(j - i);
          if (spec.softcap > 0) score = spec.softcap * std::tanh(score / spec.softcap);
          const double e = std::exp(score);
          sum += e;
          for (size_t c = 0; c < y.size(); ++c) y[c] += e * other.v[kv][c];
        }
        for (const double value : y) all.push_back(value / sum);
      }
      out.push_back(apply(linear_at(block, spec.output), all));
    }
    return out;
  }

  void add(const Row& branch, const Norm& post, const Norm& residual, Row& h) {
    const Row normed = norm(post, branch);
    for (size_t i = 0; i < h.size(); ++i) h[i] += graph_.residual_scale * normed[i];
    h = norm(residual, h);
  }

  void run(const Block& block, Rows& h) {
    Rows x;
    for (const Row& row : h) x.push_back(norm(block.attention_norm, row));
    const Rows a = attention(block, x);
    for (size_t t = 0; t < h.size(); ++t) {
      const Row before = h[t];
      add(a[t], block.post_attention_norm, block.attention_residual_norm, h[t]);
      const Row m = feed_forward(block, norm(block.mlp_norm, block.parallel ? before : h[t]));
      add(m, block.post_mlp_norm, block.mlp_residual_norm, h[t]);
      for (double& v : h[t]) v *= block.output_scale.empty() ? 1 : values(block.output_scale)[0];
    }
  }

  Row logits(const Row& h) {
    Row x = norm(graph_.final_norm, h);
    if (graph_.project_out.present()) x = apply(graph_.project_out, x);
    Row z = apply(graph_.head, x);
    for (double& v : z) {
      v *= graph_.logit_scale;
      if (graph_.logit_softcap > 0) v = graph_.logit_softcap * std::tanh(v / graph_.logit_softcap);
    }
    return z;
  }

  const Model& model_;
  const Graph& graph_;
  std::map<std::string, std::vector<double>> tensors_;
};

}  // namespace bitloom::testing
