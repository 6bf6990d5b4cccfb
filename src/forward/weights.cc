#include "forward/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "linalg/gemm.h"
#include "model/row_views.h"

namespace bitloom {
namespace {

/// Looks tensors up under the names that the graph gives.
class Loader {
 public:
  explicit Loader(const Model& model) : model_(model) {}

  std::vector<float> vector(const std::string& name) const {
    return name.empty() ? std::vector<float>{} : model_.vector(name);
  }

  NormWeights norm(const Norm& norm) const {
    const Graph& graph = model_.graph();
    NormWeights weights = {graph.norm, graph.norm_eps, vector(norm.weight), vector(norm.bias)};
    if (norm.bare) weights.weight.assign(static_cast<size_t>(graph.hidden), adds_one(graph.norm) ? 0.0f : 1.0f);
    return weights;
  }

  NormWeights latent_norm(const LatentAttention& latent, const Norm& named) const {
    return {NormKind::kRms, latent.norm_eps, vector(named.weight), {}};
  }

  LinearWeights linear(const Linear& linear) const {
    return linear.present() ? LinearWeights{model_.matrix(linear), vector(linear.bias)} : LinearWeights{};
  }

  RowSourcePtr rows(const std::string& name) const { return name.empty() ? nullptr : model_.tensor(name).rows; }

  BlockWeights block(const Block& block) const {
    BlockWeights weights;
    weights.attention_norm = norm(block.attention_norm);
    weights.post_attention_norm = norm(block.post_attention_norm);
    weights.attention_residual_norm = norm(block.attention_residual_norm);
    weights.mlp_norm = norm(block.mlp_norm);
    weights.post_mlp_norm = norm(block.post_mlp_norm);
    weights.mlp_residual_norm = norm(block.mlp_residual_norm);
    weights.q_norm = norm(block.attention.q_norm);
    weights.k_norm = norm(block.attention.k_norm);
    if (block.attention.norm_values) {
      weights.v_norm = {NormKind::kRms, model_.graph().norm_eps, {}, {}};
      weights.v_norm.weight.assign(static_cast<size_t>(block.attention.head_dim), 1.0f);
    }
    if (!block.output_scale.empty()) weights.output_scale = vector(block.output_scale).at(0);
    weights.q_latent_norm = latent_norm(block.attention.latent, block.attention.latent.q_norm);
    weights.kv_latent_norm = latent_norm(block.attention.latent, block.attention.latent.kv_norm);
    weights.sinks = vector(block.attention.sinks);
    weights.choice_bias = vector(block.experts.choice_bias);
    for (const Linear& at : block.linears) weights.linears.push_back(linear(at));
    for (size_t i = 0; i < block.inputs.size(); ++i) {
      const auto& format = block.inputs[i].activations;
      if (format) weights.rounders.emplace(static_cast<int>(i), InputRounder(*format, block.inputs[i].width));
    }
    for (const Operand operand : kOperands) {
      const auto& format = block.attention.format_of(operand);
      if (format) weights.operands.emplace(operand, InputRounder(*format, block.attention.width_of(operand)));
    }
    return weights;
  }

 private:
  const Model& model_;
};

void pack(LinearWeights& layer, const PackOptions& options) {
  if (!layer.present()) return;
  RowOrder stored = row_order_of(layer.weight);
  layer.packed = PackedLinear::pack(std::move(stored.source), std::move(stored.order), options);
  layer.packed_weight = layer.weight;
}

/// Whether the layer's kernel multiplies what the rounder makes as it is. (Without a kernel nothing else is done.)
bool keeps(const LinearWeights& layer, const InputRounder& rounder) {
  if (layer.packed == nullptr) return !rounder.rotates();
  if (!rounder.rotates()) return layer.packed->keeps_multiples();
  const PackedFrame* frame = layer.packed->frame();
  const ActivationFormat& format = rounder.format();
  return layer.packed->keeps_multiples_inside() && frame != nullptr && frame->enters_by(format.rotation, format.seed);
}

void pack_input(BlockWeights& block, const Input& input, int index, PackOptions options) {
  const auto layers = [&](const auto& visit) {
    for (const int reader : input.readers) visit(block.linears[static_cast<size_t>(reader)]);
  };
  const auto found = block.rounders.find(index);
  const InputRounder* rounder = found == block.rounders.end() ? nullptr : &found->second;
  const PackOptions exact = {options.isa, Activations::kExact};
  if (rounder != nullptr && !rounder->has_token_scales()) options = exact;
  layers([&](LinearWeights& layer) { pack(layer, options); });
  if (rounder == nullptr || options.activations == Activations::kExact) return;
  if (!rounder->rotates()) {
    return layers([&](LinearWeights& layer) {
      if (!keeps(layer, *rounder)) pack(layer, exact);
    });
  }
  bool all = true, any_of_many = false, all_of_many = true;  // tokens that each kernel serves alike
  layers([&](const LinearWeights& layer) {
    all = all && keeps(layer, *rounder);
    if (!all) return;
    any_of_many = any_of_many || layer.packed->serves(kFewTokens + 1);
    all_of_many = all_of_many && layer.packed->serves(kFewTokens + 1);
  });
  if (all && any_of_many == all_of_many) {
    block.rotated.insert(index);
  } else {
    layers([&](LinearWeights& layer) { pack(layer, exact); });
  }
}

void pack(BlockWeights& block, const Block& of_graph, const PackOptions& options) {
  for (size_t i = 0; i < of_graph.inputs.size(); ++i) {
    pack_input(block, of_graph.inputs[i], static_cast<int>(i), options);
  }
}

}  // namespace

void apply_layers(std::span<const LinearReader> readers, const LayerInput& input, int64_t rows, LinearScratch& scratch,
                  ThreadPool& threads) {
  assert(readers.size() <= kMostReaders);
  std::array<Reader, kMostReaders> packed;
  size_t count = 0;
  for (const auto& [layer, y] : readers) {
    const float* bias = layer->bias.empty() ? nullptr : layer->bias.data();
    if (const PackedLinear* w = layer->kernel_for(rows); w != nullptr) {
      packed[count++] = {w, bias, y};
    } else {
      assert(!input.rotated);
      linear(input.x, layer->in(), rows, *layer->weight, bias, y, layer->out(), scratch.tiles, threads);
    }
  }
  if (count > 0) apply({packed.data(), count}, input.x, rows, scratch.blocks, threads, input.scales, input.rotated);
}

void add_linear_adjoint(const LinearWeights& layer, const float* dy, int64_t rows, float* dx, ThreadPool& threads) {
  constexpr int64_t kPanel = 64, kDecoded = 32;  // rows of x, of W
  const int64_t out = layer.out(), in = layer.in();
  std::vector<float> tile(static_cast<size_t>(std::min(out, kAdjointRows) * in));
  for (int64_t begin = 0; begin < out; begin += kAdjointRows) {
    const int64_t count = std::min(kAdjointRows, out - begin);
    threads.parallel_for((count + kDecoded - 1) / kDecoded, [&](int64_t piece) {
      const int64_t first = piece * kDecoded, last = std::min(count, first + kDecoded);
      layer.weight->decode_rows(begin + first, begin + last, tile.data() + first * in);
    });
    threads.parallel_for((rows + kPanel - 1) / kPanel, [&](int64_t panel) {
      const int64_t row = panel * kPanel, panel_rows = std::min(kPanel, rows - row);
      sgemm(Transpose::kNo, Transpose::kNo, panel_rows, in, count, 1.0f, dy + row * out + begin, out, tile.data(), in,
            1.0f, dx + row * in, in);
    });
  }
}

OuterWeights load_outer_weights(const Model& model) {
  const Graph& graph = model.graph();
  const Loader load(model);
  OuterWeights weights;
  weights.embedding = load.rows(graph.embedding);
  weights.positions = load.rows(graph.position_embedding);
  weights.project_in = load.linear(graph.project_in);
  weights.project_out = load.linear(graph.project_out);
  weights.head = load.linear(graph.head);
  weights.embedding_norm = load.norm(graph.embedding_norm);
  weights.final_norm = load.norm(graph.final_norm);
  return weights;
}

BlockWeights load_block_weights(const Model& model, int block) {
  return Loader(model).block(model.graph().blocks[static_cast<size_t>(block)]);
}

ModelWeights load_weights(const Model& model, const std::optional<PackOptions>& packing) {
  ModelWeights weights;
  static_cast<OuterWeights&>(weights) = load_outer_weights(model);
  for (size_t b = 0; b < model.graph().blocks.size(); ++b) {
    weights.blocks.push_back(load_block_weights(model, static_cast<int>(b)));
  }
  if (!packing) return weights;
  for (LinearWeights* layer : {&weights.project_in, &weights.project_out, &weights.head}) pack(*layer, *packing);
  for (size_t b = 0; b < weights.blocks.size(); ++b) pack(weights.blocks[b], model.graph().blocks[b], *packing);
  return weights;
}

RoundedProducts count_products(const Graph& graph, const ModelWeights& weights) {
  RoundedProducts products;
  for (size_t b = 0; b < weights.blocks.size(); ++b) {
    const BlockWeights& block = weights.blocks[b];
    for (const auto& [input, rounder] : block.rounders) {
      for (const int reader : graph.blocks[b].inputs[static_cast<size_t>(input)].readers) {
        const PackedLinear* packed = block.linears[static_cast<size_t>(reader)].packed.get();
        ++(packed != nullptr && packed->reads_integers() ? products.integers : products.exact);
      }
    }
  }
  return products;
}

PromptWeights count_prompt_weights(const ModelWeights& weights) {
  PromptWeights counts;
  for (const BlockWeights& block : weights.blocks) {
    for (const LinearWeights& layer : block.linears) {
      if (!layer.present()) continue;
      const PackedLinear* packed = layer.kernel_for(kFewTokens + 1);
      int64_t& count = packed == nullptr ? counts.fp32 : packed->bf16_kernel() != nullptr ? counts.bf16 : counts.int8;
      count += layer.out() * layer.in();
    }
  }
  return counts;
}

Json to_json(const RoundedProducts& products) { return {{"integers", products.integers}, {"exact", products.exact}}; }

std::string to_string(const RoundedProducts& products) {
  const bool integers = products.integers >= products.exact;
  return fmt::format("{} of {} layers with rounded inputs by {}", integers ? products.integers : products.exact,
                     products.all(), integers ? "integer kernels" : "exact products of the rounded values");
}

}  // namespace bitloom
