#include "model/graph.h"

#include <fmt/format.h>

#include <set>

namespace bitloom {
namespace {

void add_block_sites(std::vector<Site>& sites, const Block& block, int index) {
  for (size_t i = 0; i < block.linears.size(); ++i) {
    const Linear& linear = block.linears[i];
    const Input& reads = block.inputs[static_cast<size_t>(linear.input)];
    sites.push_back({index, linear.input, static_cast<int>(i), &linear, &reads});
  }
}

/// Collects tensors in the order of execution, each name once.
class TensorList {
 public:
  void add(const std::string& name, std::vector<int64_t> shape) {
    if (name.empty() || !seen_.insert(name).second) return;
    list_.push_back({name, std::move(shape)});
  }
  void add(const Norm& norm, const std::vector<int64_t>& shape) {
    add(norm.weight, shape);
    add(norm.bias, shape);
  }
  void add(const Norm& norm, int64_t width) { add(norm, std::vector<int64_t>{width}); }
  void add(const Linear& linear) {
    if (linear.stored_in_out) {
      add(linear.weight, {linear.in, linear.out});
    } else {
      add(linear.weight, {linear.out, linear.in});
    }
    add(linear.bias, {linear.out});
  }
  std::vector<ExpectedTensor> take() { return std::move(list_); }

 private:
  std::set<std::string> seen_;
  std::vector<ExpectedTensor> list_;
};

std::vector<int64_t> head_norm_shape(const Attention& attention, int64_t heads) {
  switch (attention.head_norm) {
    case HeadNorm::kShared:
      break;
    case HeadNorm::kOwn:
      return {heads, attention.head_dim};
    case HeadNorm::kAllHeads:
      return {heads * attention.head_dim};
  }
  return {attention.head_dim};
}

const Linear& linear_of(const Block& block, int index) { return block.linears[static_cast<size_t>(index)]; }

void add_block_tensors(TensorList& list, const Block& block, int64_t hidden) {
  const Attention& attention = block.attention;
  const auto add_linears = [&](bool of_attention) {
    for (const Linear& linear : block.linears) {
      const Producer producer = block.inputs[static_cast<size_t>(linear.input)].producer;
      const bool reads_attention =
          producer == Producer::kAttentionNorm || producer == Producer::kLatent || producer == Producer::kAttention;
      if (reads_attention == of_attention) list.add(linear);
    }
  };
  list.add(block.attention_norm, hidden);
  add_linears(true);
  list.add(attention.latent.q_norm, attention.latent.q_down < 0 ? 0 : linear_of(block, attention.latent.q_down).out);
  list.add(attention.latent.kv_norm, attention.latent.rank);
  list.add(attention.q_norm, head_norm_shape(attention, attention.heads));
  list.add(attention.k_norm, head_norm_shape(attention, attention.kv_heads));
  list.add(attention.sinks, {attention.heads});
  list.add(block.post_attention_norm, hidden);
  list.add(block.attention_residual_norm, hidden);
  list.add(block.mlp_norm, hidden);
  add_linears(false);
  list.add(block.experts.choice_bias, {static_cast<int64_t>(block.experts.mlps.size())});
  list.add(block.post_mlp_norm, hidden);
  list.add(block.mlp_residual_norm, hidden);
  list.add(block.output_scale, {1});
}

}  // namespace

bool adds_one(NormKind kind) { return kind == NormKind::kRmsPlusOne || kind == NormKind::kLayerPlusOne; }

bool subtracts_mean(NormKind kind) { return kind == NormKind::kLayer || kind == NormKind::kLayerPlusOne; }

std::vector<Site> linear_sites(const Graph& graph) {
  std::vector<Site> sites;
  for (size_t i = 0; i < graph.blocks.size(); ++i) add_block_sites(sites, graph.blocks[i], static_cast<int>(i));
  return sites;
}

std::vector<Site> linear_sites(const Graph& graph, int block) {
  std::vector<Site> sites;
  add_block_sites(sites, graph.blocks.at(static_cast<size_t>(block)), block);
  return sites;
}

int add_input(Block& block, Input input) {
  block.inputs.push_back(std::move(input));
  return static_cast<int>(block.inputs.size()) - 1;
}

int add_linear(Block& block, int input, Linear linear, std::string role) {
  const auto index = static_cast<int>(block.linears.size());
  linear.role = std::move(role);
  linear.input = input;
  block.linears.push_back(std::move(linear));
  block.inputs[static_cast<size_t>(input)].readers.push_back(index);
  return index;
}

int input_count(const Graph& graph, int block) {
  return static_cast<int>(graph.blocks[static_cast<size_t>(block)].inputs.size());
}

const Input& input_at(const Graph& graph, int block, int input) {
  return graph.blocks[static_cast<size_t>(block)].inputs[static_cast<size_t>(input)];
}

bool begins_step(const Block& block, int input) {
  const auto producer = [&](int of) { return block.inputs[static_cast<size_t>(of)].producer; };
  return input == 0 || producer(input) != producer(input - 1);
}

std::string input_place(const Graph& graph, int block, int input) {
  return fmt::format("blocks.{}.{}", block, input_at(graph, block, input).name);
}

std::string_view name_of(Operand operand) {
  constexpr std::string_view kNames[] = {"queries", "keys", "probabilities", "values"};
  return kNames[static_cast<size_t>(operand)];
}

std::string operand_place(int block, Operand operand) { return fmt::format("blocks.{}.{}", block, name_of(operand)); }

std::string bad_operand_format(Operand operand, const ActivationFormat& format) {
  const std::string text = fmt::format("{} for '{}'", kind_text(format), name_of(operand));
  if (format.range.is_calibrated()) {
    return text + ": ranges are found in what linear layers read alone; leave it out, or say which it is: -at";
  }
  if (format.granularity == ActivationFormat::Granularity::kTensor &&
      format.range.kind != ActivationRange::Kind::kFixed) {
    return text + ": tokens come one by one here; allowed: -token (of each head), -gN, or -tensor with a range (-at)";
  }
  if (format.shifted) return text + ": shifts are found for what linear layers read alone; leave them out";
  if (!format.moves.empty()) return text + ": channels are moved before linear layers alone; leave it out";
  if (operand == Operand::kProbabilities && format.rotation != 0) {
    return text + ": their rows grow with the keys that are seen, so nothing rotates them";
  }
  return "";
}

std::vector<ExpectedTensor> expected_tensors(const Graph& graph) {
  TensorList list;
  const int64_t width = graph.project_in.present() ? graph.project_in.in : graph.hidden;
  list.add(graph.embedding, {graph.vocab_size, width});
  list.add(graph.position_embedding, {graph.max_positions + graph.position_offset, graph.hidden});
  list.add(graph.embedding_norm, graph.hidden);
  list.add(graph.project_in);
  for (const Block& block : graph.blocks) add_block_tensors(list, block, graph.hidden);
  list.add(graph.final_norm, graph.hidden);
  list.add(graph.project_out);
  list.add(graph.head);
  return list.take();
}

int64_t parameter_count(const Graph& graph) {
  int64_t count = 0;
  for (const ExpectedTensor& tensor : expected_tensors(graph)) {
    int64_t elements = 1;
    for (const int64_t extent : tensor.shape) elements *= extent;
    count += elements;
  }
  return count;
}

}  // namespace bitloom
