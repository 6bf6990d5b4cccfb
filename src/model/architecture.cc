#include "model/architecture.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text.h"
#include "model/arch/parts.h"

// One line per architecture: model_type, and the function build_NAME of arch/NAME.cc.
#define BITLOOM_ARCHITECTURES(row)                                                                                    \
  row("llama", llama) row("mistral", mistral) row("qwen2", qwen2) row("qwen3", qwen3) row("gemma", gemma)             \
      row("gemma3", gemma3) row("gemma3_text", gemma3) row("phi3", phi3) row("opt", opt) row("gpt2", gpt2)            \
          row("gpt_neo", gpt_neo) row("gpt_neox", gpt_neox) row("mixtral", mixtral) row("qwen3_moe", qwen3_moe)       \
              row("starcoder2", starcoder2) row("stablelm", stablelm) row("smollm3", smollm3) row("olmo", olmo)       \
                  row("olmo2", olmo2) row("olmo3", olmo3) row("granite", granite) row("phi", phi)                     \
                      row("cohere", cohere) row("cohere2", cohere2) row("glm", glm) row("glm4", glm4)                 \
                          row("exaone4", exaone4) row("ministral", ministral) row("ministral3", ministral3)           \
                              row("mistral3", mistral3) row("seed_oss", seed_oss) row("arcee", arcee)                 \
                                  row("nemotron", nemotron) row("helium", helium) row("ernie4_5", ernie4_5)           \
                                      row("hunyuan_v1_dense", hunyuan_v1_dense) row("bloom", bloom)                   \
                                          row("falcon", falcon) row("mpt", mpt) row("gptj", gptj) row("olmoe", olmoe) \
                                              row("granitemoe", granitemoe) row("phimoe", phimoe)                     \
                                                  row("gpt_oss", gpt_oss) row("deepseek_v2", deepseek_v2)             \
                                                      row("deepseek_v3", deepseek_v3) row("glm4_moe", glm4_moe)       \
                                                          row("ernie4_5_moe", ernie4_5_moe)

namespace bitloom {

#define BITLOOM_DECLARE(model_type, name) \
  Graph build_##name(const Json& document, const std::string& origin, const TensorNames& names);
BITLOOM_ARCHITECTURES(BITLOOM_DECLARE)
#undef BITLOOM_DECLARE

namespace {

#define BITLOOM_ROW(model_type, name) {model_type, build_##name},
const std::vector<Architecture> kArchitectures = {BITLOOM_ARCHITECTURES(BITLOOM_ROW)};
#undef BITLOOM_ROW

/// The largest number under one of the keys; 1 where there is none.
double largest(const Json& config, std::span<const char* const> keys) {
  double value = 1;
  for (const char* key : keys) {
    if (const auto at = config.find(key); at != config.end() && at->is_number())
      value = std::max(value, at->get<double>());
  }
  return value;
}

/// A graph names every expert of every layer before any file is asked for them: a configuration that lies must not fill
/// the memory with names. The largest published models have some ten thousand.
void refuse_too_many_experts(const ConfigReader& config, const Json& document) {
  constexpr double kMost = 1 << 17;
  constexpr std::array kLayers = {"num_hidden_layers", "n_layer", "num_layers"};
  constexpr std::array kExperts = {"num_experts", "num_local_experts", "n_routed_experts"};
  const double layers = largest(document, kLayers), experts = largest(document, kExperts);
  if (experts > 1 && layers * experts > kMost) {
    refuse("{}: {} experts in all layers, expected at most {}", config.origin(), layers * experts, kMost);
  }
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

Graph build_graph(const Json& config, const std::string& origin, const TensorNames& names) {
  const ConfigReader reader(config, origin);
  const std::string model_type = reader.text("model_type");
  arch::refuse_unsupported(reader);
  refuse_too_many_experts(reader, config);
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures()) {
    if (architecture.model_type == model_type) {
      Graph graph = architecture.build(config, origin, names);
      graph.architecture = model_type;
      const auto mixes = [](const Block& block) { return block.experts.present(); };
      if (std::none_of(graph.blocks.begin(), graph.blocks.end(), mixes)) arch::refuse_experts(reader);
      return graph;
    }
    known.push_back(architecture.model_type);
  }
  arch::refuse_known(model_type, origin);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  refuse("{}: unknown architecture '{}'{}; known: {}", origin, model_type, did_you_mean(model_type, known), list);
}

}  // namespace bitloom
