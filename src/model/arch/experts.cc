// Mixtures of experts in the llama family.

#include <algorithm>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

// A lying file must not fill the memory with names.
constexpr int64_t kMaxExperts = 4096;

MlpLinears mlp_linears(const std::string& name, int64_t hidden, int64_t width, const ExpertFamily& family) {
  return {make_linear(name + family.gate, width, hidden, false), make_linear(name + family.up, width, hidden, false),
          make_linear(name + family.down, hidden, width, false)};
}

}  // namespace

int64_t read_top_k(const ConfigReader& config, int64_t experts, int64_t fallback) {
  const int64_t top_k = config.count("num_experts_per_tok", fallback);
  if (experts > kMaxExperts) refuse("{}: {} experts, expected at most {}", config.origin(), experts, kMaxExperts);
  if (top_k > experts) refuse("{}: num_experts_per_tok is {} of {} experts", config.origin(), top_k, experts);
  return top_k;
}

ExpertFamily qwen_experts(const ConfigReader& config, int64_t experts, int64_t top_k, int64_t width) {
  ExpertFamily family;
  family.count = config.count(config.has("num_experts") ? "num_experts" : "num_local_experts", experts);
  family.top_k = read_top_k(config, family.count, top_k);
  family.normalized = config.flag("norm_topk_prob", false);
  family.width = config.count("moe_intermediate_size", width);
  family.sparse_step = config.count("decoder_sparse_step", 1);
  family.dense_layers = config.ids("mlp_only_layers", {});
  return family;
}

bool has_experts(const ExpertFamily& family, int64_t layer) {
  const std::vector<int32_t>& dense = family.dense_layers;
  if (std::find(dense.begin(), dense.end(), layer) != dense.end()) return false;
  return (layer + 1) % family.sparse_step == 0;
}

void add_experts(Block& block, const std::string& layer, int64_t hidden, const ExpertFamily& family) {
  const std::string name = layer + family.module;
  ExpertLinears linears;
  linears.router = make_linear(name + "gate", family.count, hidden, false);
  for (int64_t e = 0; e < family.count; ++e) {
    linears.experts.push_back(mlp_linears(fmt::format("{}experts.{}.", name, e), hidden, family.width, family));
  }
  if (family.shared_width > 0) {
    linears.shared = mlp_linears(name + "shared_expert.", hidden, family.shared_width, family);
    linears.shared_gate = make_linear(name + "shared_expert_gate", 1, hidden, false);
  }
  block.experts.top_k = family.top_k;
  block.experts.normalized = family.normalized;
  connect_experts(block, linears);
}

}  // namespace bitloom::arch
