// Mixtures of experts in the llama family.

#include <algorithm>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

// A lying file must not fill the memory with names.
constexpr int64_t kMaxExperts = 4096;

MlpLinears mlp_linears(const std::string& name, int64_t hidden, int64_t width, const ExpertFamily& family) {
  return {make_linear(name + family.gate, width, hidden, family.bias),
          make_linear(name + family.up, width, hidden, family.bias),
          make_linear(name + family.down, hidden, width, family.bias)};
}

/// Where the linears of an expert lie in the tensors of all.
class Stack {
 public:
  Stack(Graph& graph, const std::string& origin, std::string module, const TensorNames& names,
        const ExpertFamily& family)
      : graph_(graph),
        origin_(origin),
        module_(std::move(module)),
        names_(names),
        family_(family),
        stacked_(*family.stacked) {}

  void place(const MlpLinears& linears, int64_t expert) {
    const int64_t width = family_.width, step = stacked_.interleaved ? 2 : 1;
    place(linears.gate, stacked_.gate_up, 2 * width, expert, 0, step);
    place(linears.up, stacked_.gate_up, 2 * width, expert, stacked_.interleaved ? 1 : width, step);
    place(linears.down, stacked_.down, graph_.hidden, expert, 0, 1);
  }

 private:
  /// linear.out of the `rows` rows that each expert has in the tensor.
  void place(const Linear& linear, const std::string& tensor, int64_t rows, int64_t expert, int64_t first,
             int64_t step) {
    const std::string name = module_ + tensor;
    TensorSlice slice{name, {family_.count, rows, linear.in}, expert, first, step, linear.out};
    if (!stacked_.blocks.empty() && names_.has(name + stacked_.blocks)) {
      constexpr int64_t kBlock = 32;
      if (linear.in % kBlock != 0) {
        refuse("{}: tensor '{}' holds blocks of {} columns, which do not divide {}", origin_, name + stacked_.blocks,
               kBlock, linear.in);
      }
      slice.tensor = name + stacked_.blocks;
      slice.scales = name + stacked_.scales;
    } else if (stacked_.transposed) {
      slice.shape = {family_.count, linear.in, rows};
      slice.transposed = true;
    }
    graph_.slices[linear.weight] = slice;
    if (linear.bias.empty()) return;
    graph_.slices[linear.bias] = {name + stacked_.bias, {family_.count, rows}, expert, first, step, linear.out};
  }

  Graph& graph_;
  const std::string& origin_;
  std::string module_;
  const TensorNames& names_;
  const ExpertFamily& family_;
  const StackedExperts& stacked_;
};

}  // namespace

int64_t read_top_k(const ConfigReader& config, int64_t experts, int64_t fallback, const std::string& key) {
  const int64_t top_k = fallback > 0 ? config.count(key, fallback) : config.count(key);
  if (experts > kMaxExperts) refuse("{}: {} experts, expected at most {}", config.origin(), experts, kMaxExperts);
  if (top_k > experts) refuse("{}: {} is {} of {} experts", config.origin(), key, top_k, experts);
  return top_k;
}

int64_t count_or_zero(const ConfigReader& config, const std::string& key, int64_t fallback) {
  return config.number(key, static_cast<double>(fallback)) == 0.0 ? 0 : config.count(key, fallback);
}

ExpertFamily qwen_experts(const ConfigReader& config, int64_t experts, int64_t top_k, int64_t width) {
  ExpertFamily family;
  family.count = config.count(config.has("num_experts") ? "num_experts" : "num_local_experts", experts);
  family.choice.top_k = read_top_k(config, family.count, top_k);
  family.choice.normalized = config.flag("norm_topk_prob", false);
  family.width = config.count("moe_intermediate_size", width);
  family.sparse_step = config.count("decoder_sparse_step", 1);
  family.dense_layers = config.ids("mlp_only_layers", {});
  return family;
}

ExpertFamily deepseek_experts(const ConfigReader& config, int64_t dense, int64_t experts, int64_t shared, int64_t width,
                              double scale) {
  ExpertFamily family;
  family.count = config.count("n_routed_experts", experts);
  family.width = config.count("moe_intermediate_size", width);
  family.shared = "shared_experts";
  family.shared_gate = false;
  family.shared_width = family.width * count_or_zero(config, "n_shared_experts", shared);
  family.first_layer = count_or_zero(config, "first_k_dense_replace", dense);
  family.choice.weight_scale = static_cast<float>(config.number("routed_scaling_factor", scale));
  return family;
}

void read_groups(const ConfigReader& config, int64_t groups, int64_t top_groups, int64_t count, Experts& choice) {
  choice.groups = config.count("n_group", groups);
  choice.top_groups = config.count("topk_group", top_groups);
  if (choice.groups == 1 && choice.top_groups == 1) return;
  if (count % choice.groups != 0 || count / choice.groups < choice.group_best) {
    config.refuse_value("n_group", fmt::format("expected a divisor of {} experts, with at least {} in each group",
                                               count, choice.group_best));
  }
  if (choice.top_groups > choice.groups || choice.top_k > choice.top_groups * (count / choice.groups)) {
    config.refuse_value("topk_group", fmt::format("expected at most n_group = {} and enough for {} experts",
                                                  choice.groups, choice.top_k));
  }
}

void read_biased_choice(const ConfigReader& config, int64_t groups, int64_t top_groups, ExpertFamily& family) {
  Experts& choice = family.choice;
  choice.top_k = read_top_k(config, family.count, 8);
  choice.score = RouterScore::kSigmoid;
  choice.normalized = config.flag("norm_topk_prob", true);
  choice.least_sum = 1e-20f;
  choice.group_best = 2;
  read_groups(config, groups, top_groups, family.count, choice);
  family.choice_bias = "gate.e_score_correction_bias";
}

bool has_experts(const ExpertFamily& family, int64_t layer) {
  const std::vector<int32_t>& dense = family.dense_layers;
  if (std::find(dense.begin(), dense.end(), layer) != dense.end()) return false;
  if (layer < family.first_layer || (family.last_layer >= 0 && layer > family.last_layer)) return false;
  return (layer + 1) % family.sparse_step == 0;
}

void add_experts(Graph& graph, Block& block, const std::string& layer, const ConfigReader& config,
                 const TensorNames& names, const ExpertFamily& family) {
  const std::string name = layer + family.module;
  const int64_t hidden = graph.hidden;
  ExpertLinears linears;
  linears.router = make_linear(name + family.router, family.count, hidden, family.bias);
  for (int64_t e = 0; e < family.count; ++e) {
    linears.experts.push_back(mlp_linears(fmt::format("{}experts.{}.", name, e), hidden, family.width, family));
  }
  if (family.shared_width > 0) {
    linears.shared = mlp_linears(name + family.shared + ".", hidden, family.shared_width, family);
    if (family.shared_gate) linears.shared_gate = make_linear(name + family.shared + "_gate", 1, hidden, false);
  }
  block.experts = family.choice;
  if (!family.choice_bias.empty()) block.experts.choice_bias = name + family.choice_bias;
  connect_experts(block, linears);
  if (!family.stacked) return;
  Stack stack(graph, config.origin(), name, names, family);
  for (size_t e = 0; e < linears.experts.size(); ++e) stack.place(linears.experts[e], static_cast<int64_t>(e));
}

}  // namespace bitloom::arch
