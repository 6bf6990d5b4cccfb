#include "model/graph.h"

#include <set>

namespace bitloom {
namespace {

void add_site(std::vector<Site>& sites, int block, SiteInput input, const Linear& linear) {
  if (linear.present()) sites.push_back({block, input, &linear});
}

void add_block_sites(std::vector<Site>& sites, const Block& block, int index) {
  const Attention& attention = block.attention;
  add_site(sites, index, SiteInput::kAttention, attention.q);
  add_site(sites, index, SiteInput::kAttention, attention.k);
  add_site(sites, index, SiteInput::kAttention, attention.v);
  add_site(sites, index, SiteInput::kAttentionOutput, attention.output);
  add_site(sites, index, SiteInput::kMlp, block.mlp.gate);
  add_site(sites, index, SiteInput::kMlp, block.mlp.up);
  add_site(sites, index, SiteInput::kMlpDown, block.mlp.down);
}

/// Collects tensors in the order of execution, each name once.
class TensorList {
 public:
  void add(const std::string& name, std::vector<int64_t> shape) {
    if (name.empty() || !seen_.insert(name).second) return;
    list_.push_back({name, std::move(shape)});
  }
  void add(const Norm& norm, int64_t width) {
    add(norm.weight, {width});
    add(norm.bias, {width});
  }
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

void add_block_tensors(TensorList& list, const Block& block, int64_t hidden) {
  const Attention& attention = block.attention;
  list.add(block.attention_norm, hidden);
  for (const Linear* linear : {&attention.q, &attention.k, &attention.v, &attention.output}) list.add(*linear);
  list.add(attention.q_norm, attention.head_dim);
  list.add(attention.k_norm, attention.head_dim);
  list.add(block.post_attention_norm, hidden);
  list.add(block.attention_residual_norm, hidden);
  list.add(block.mlp_norm, hidden);
  for (const Linear* linear : {&block.mlp.gate, &block.mlp.up, &block.mlp.down}) list.add(*linear);
  list.add(block.post_mlp_norm, hidden);
  list.add(block.mlp_residual_norm, hidden);
}

}  // namespace

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

std::string to_string(SiteInput input) {
  switch (input) {
    case SiteInput::kAttention:
      return "attention";
    case SiteInput::kAttentionOutput:
      return "attention_output";
    case SiteInput::kMlp:
      return "mlp";
    case SiteInput::kMlpDown:
      return "mlp_down";
  }
  return "";
}

std::vector<ExpectedTensor> expected_tensors(const Graph& graph) {
  TensorList list;
  const int64_t width = graph.project_in.present() ? graph.project_in.in : graph.hidden;
  list.add(graph.embedding, {graph.vocab_size, width});
  list.add(graph.position_embedding, {graph.max_positions + graph.position_offset, graph.hidden});
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
