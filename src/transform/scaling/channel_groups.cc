#include "transform/scaling/channel_groups.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <numeric>
#include <string>

#include "model/block_parts.h"

namespace bitloom {
namespace {

std::vector<int64_t> counting(int64_t count, int64_t first = 0) {
  std::vector<int64_t> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

/// How often the graph uses each tensor.
class TensorUses {
 public:
  explicit TensorUses(const Graph& graph) {
    for (const Block& block : graph.blocks) {
      for (const Norm* norm :
           {&block.attention_norm, &block.post_attention_norm, &block.attention_residual_norm, &block.mlp_norm,
            &block.post_mlp_norm, &block.mlp_residual_norm, &block.attention.q_norm, &block.attention.k_norm,
            &block.attention.latent.q_norm, &block.attention.latent.kv_norm}) {
        add(*norm);
      }
    }
    for (const Site& site : linear_sites(graph)) add(*site.linear);
    for (const Linear* linear : {&graph.project_in, &graph.project_out, &graph.head}) add(*linear);
    add(graph.embedding_norm);
    add(graph.final_norm);
    ++uses_[graph.embedding];
    ++uses_[graph.position_embedding];
  }

  /// Whether each of the tensors has so many uses; an absent one does not matter.
  bool are(int count, const std::string& weight, const std::string& bias) const {
    return (weight.empty() || uses_.at(weight) == count) && (bias.empty() || uses_.at(bias) == count);
  }
  bool once(const Linear& linear) const { return are(1, linear.weight, linear.bias); }

 private:
  void add(const Norm& norm) { ++uses_[norm.weight], ++uses_[norm.bias]; }
  void add(const Linear& linear) { ++uses_[linear.weight], ++uses_[linear.bias]; }
  std::map<std::string, int> uses_;
};

class GroupBuilder {
 public:
  GroupBuilder(const Graph& graph, int index)
      : graph_(graph),
        block_(graph.blocks.at(static_cast<size_t>(index))),
        uses_(graph),
        sites_(linear_sites(graph, index)) {}

  std::vector<ChannelGroup> build() const {
    std::vector<ChannelGroup> groups;
    const bool shared = block_.parallel && !block_.attention_norm.weight.empty() &&
                        block_.attention_norm.weight == block_.mlp_norm.weight;
    for (int input = 0; input < static_cast<int>(block_.inputs.size()); ++input) {
      switch (at(input).producer) {
        case Producer::kAttentionNorm:
          groups.push_back(normed(input, block_.attention_norm));
          if (!shared) break;
          add_readers(groups.back(), Producer::kMlpNorm);
          add_readers(groups.back(), Producer::kRouter);
          groups.back().absorber = absorber(block_.attention_norm, 2, groups.back());
          break;
        case Producer::kLatent:
          groups.push_back(latent(input));
          break;
        case Producer::kAttention:
          groups.push_back(attention_output(input));
          break;
        case Producer::kMlpNorm:
          if (!shared) groups.push_back(mlp_normed(input));
          break;
        case Producer::kMlp:
          groups.push_back(mlp_down(input, mlp_of(at(input).expert)));
          break;
        case Producer::kRouter:
          break;  // the same rows as what kMlpNorm makes
      }
    }
    return groups;
  }

 private:
  const Input& at(int input) const { return block_.inputs[static_cast<size_t>(input)]; }

  const Mlp& mlp_of(int expert) const {
    return expert < 0 ? block_.mlp : block_.experts.mlps[static_cast<size_t>(expert)];
  }

  void add_readers(ChannelGroup& group, Producer producer) const {
    for (const Site& site : sites_) {
      if (site.reads->producer == producer) group.readers.push_back(site);
    }
  }

  ChannelGroup group_of(int input) const {
    ChannelGroup group;
    group.input = input;
    group.scales = at(input).width;
    group.scale_of = counting(group.scales);
    for (const int reader : at(input).readers) group.readers.push_back(sites_[static_cast<size_t>(reader)]);
    return group;
  }

  bool readers_are_only_here(const ChannelGroup& group) const {
    return std::all_of(group.readers.begin(), group.readers.end(),
                       [&](const Site& site) { return uses_.once(*site.linear); });
  }

  Absorber absorber(const Norm& norm, int uses, const ChannelGroup& group) const {
    if (norm.weight.empty() || !uses_.are(uses, norm.weight, norm.bias) || !readers_are_only_here(group)) return {};
    return NormAbsorber{norm, graph_.norm};
  }

  Absorber absorber(const Linear& linear, std::vector<int64_t> rows, const ChannelGroup& group) const {
    if (!uses_.once(linear) || !readers_are_only_here(group)) return {};
    return RowAbsorber{linear, std::move(rows)};
  }

  ChannelGroup normed(int input, const Norm& norm) const {
    ChannelGroup group = group_of(input);
    group.absorber = absorber(norm, 1, group);
    return group;
  }

  // The norms of latents are RMS norms whatever the graph's are.
  ChannelGroup latent(int input) const {
    const LatentAttention& of = block_.attention.latent;
    const Norm& norm = at(input).readers.front() == of.kv_up ? of.kv_norm : of.q_norm;
    ChannelGroup group = group_of(input);
    group.absorber = absorber(norm, 1, group);
    if (auto* absorbing = std::get_if<NormAbsorber>(&group.absorber)) absorbing->kind = NormKind::kRms;
    return group;
  }

  // Experts read rows of the same norm's output.
  ChannelGroup mlp_normed(int input) const {
    ChannelGroup group = group_of(input);
    add_readers(group, Producer::kRouter);
    group.absorber = absorber(block_.mlp_norm, 1, group);
    return group;
  }

  // Channel head * dim + d of the attention's output is made by channel d of the values of key head
  // head / (heads / kv_heads).
  ChannelGroup attention_output(int input) const {
    const Attention& attention = block_.attention;
    const int64_t dim = attention.values(), per_value = attention.heads / attention.kv_heads;
    ChannelGroup group = group_of(input);
    group.scales = attention.kv_heads * dim;
    for (int64_t c = 0; c < group.channels(); ++c) {
      group.scale_of[static_cast<size_t>(c)] = c / dim / per_value * dim + c % dim;
    }
    if (!values_are_linear(attention)) return group;
    std::vector<int64_t> rows;
    for (const int64_t first : value_rows(attention)) {
      for (int64_t d = 0; d < dim; ++d) rows.push_back(first + d);
    }
    group.absorber = absorber(value_linear(block_), std::move(rows), group);
    return group;
  }

  ChannelGroup mlp_down(int input, const Mlp& mlp) const {
    ChannelGroup group = group_of(input);
    if (mlp.clamp > 0.0f) return group;  // not linear in up
    if (mlp.fused_gate_up) {
      group.absorber = absorber(linear_at(block_, mlp.gate), counting(mlp.width, mlp.width), group);
    } else if (mlp.gated || mlp.activation == Activation::kRelu) {
      group.absorber = absorber(linear_at(block_, mlp.up), counting(mlp.width), group);
    }
    return group;
  }

  const Graph& graph_;
  const Block& block_;
  TensorUses uses_;
  std::vector<Site> sites_;
};

}  // namespace

std::vector<float> ChannelGroup::maximum(std::span<const float> per_channel) const {
  assert(per_channel.size() == scale_of.size());
  std::vector<float> result(static_cast<size_t>(scales), 0.0f);
  for (size_t c = 0; c < per_channel.size(); ++c) {
    float& value = result[static_cast<size_t>(scale_of[c])];
    value = std::max(value, per_channel[c]);
  }
  return result;
}

std::vector<double> ChannelGroup::mean(std::span<const double> per_channel) const {
  assert(per_channel.size() == scale_of.size());
  std::vector<double> result(static_cast<size_t>(scales), 0.0);
  const double share = static_cast<double>(scales) / static_cast<double>(channels());
  for (size_t c = 0; c < per_channel.size(); ++c) result[static_cast<size_t>(scale_of[c])] += share * per_channel[c];
  return result;
}

std::vector<double> ChannelGroup::spread(std::span<const float> per_scale) const {
  assert(static_cast<int64_t>(per_scale.size()) == scales);
  std::vector<double> result;
  result.reserve(scale_of.size());
  for (const int64_t index : scale_of) result.push_back(static_cast<double>(per_scale[static_cast<size_t>(index)]));
  return result;
}

std::vector<ChannelGroup> channel_groups(const Graph& graph, int block) { return GroupBuilder(graph, block).build(); }

const Linear& value_linear(const Block& block) {
  const Attention& attention = block.attention;
  if (attention.layout == QkvLayout::kLatent) return linear_at(block, attention.latent.kv_up);
  return linear_at(block, attention.layout == QkvLayout::kSeparate ? attention.v : attention.q);
}

bool has_own_values(const Attention& attention) { return attention.layout != QkvLayout::kSeparate || attention.v >= 0; }

bool values_are_linear(const Attention& attention) {
  return attention.clip == 0.0f && !attention.norm_values && has_own_values(attention);
}

std::vector<int64_t> value_rows(const Attention& attention) {
  const int64_t dim = attention.head_dim, unturned = dim - attention.latent.rope_dim;
  std::vector<int64_t> rows;
  for (int64_t head = 0; head < attention.kv_heads; ++head) {
    switch (attention.layout) {
      case QkvLayout::kSeparate:
        rows.push_back(head * dim);
        break;
      case QkvLayout::kConcatenated:
        rows.push_back((attention.heads + attention.kv_heads + head) * dim);
        break;
      case QkvLayout::kPerHead: {
        const int64_t group = attention.heads / attention.kv_heads;
        rows.push_back(((group + 2) * head + group + 1) * dim);
        break;
      }
      case QkvLayout::kLatent:
        rows.push_back(head * (unturned + attention.values()) + unturned);
        break;
    }
  }
  return rows;
}

}  // namespace bitloom
