#pragma once
// A LoRA adapter (Hu et al. 2021, 2106.09685) as PyPI peft keeps it: a directory of adapter_config.json and
// adapter_model.safetensors. Of each module that it adapts, W [out, in],
//
//   W' = W + scale B A,   A [r, in], B [out, r],   scale = alpha / r, or with use_rslora alpha / sqrt(r) (2312.03732)
//
// and with use_dora (Liu et al. 2024, 2402.09353), row by row, W' times m / |W'| with a magnitude m [out].
//
// Tensors: "base_model.model.MODULE.lora_A.weight", "....lora_B.weight", "....lora_magnitude_vector", MODULE as
// transformers names it ("model.layers.0.self_attn.q_proj"), in any real dtype.
//
// Goals: whatever in the configuration would change the result is either carried out or refused. Non-goals: other kinds
// of adapters, embeddings, biases, modules that are saved whole; rank_pattern and alpha_pattern as regular expressions
// (names alone).

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/json.h"
#include "model/graph.h"

namespace bitloom {

struct AdapterModule {
  int64_t rank = 0, in = 0, out = 0;
  double scale = 1;
  std::vector<float> a, b;            // A [rank, in], B [out, rank]
  std::vector<float> magnitude = {};  // m [out]; empty: no DoRA
};

struct PeftAdapter {
  std::string path;
  std::map<std::string, AdapterModule> modules;  // by MODULE
  std::vector<std::string> targets;              // target_modules where that is a list; else empty
  bool of_all_layers = true;                     // whether the targets of every layer are meant
};

inline constexpr const char* kAdapterConfig = "adapter_config.json";
inline constexpr const char* kAdapterWeights = "adapter_model.safetensors";

/// Error(kRefused) names file, key or tensor, what was found and what is allowed: another kind of adapter, a key that
/// is not carried out, a rank that is not the configuration's, a factor without its other, values that are not finite.
PeftAdapter read_peft_adapter(const std::string& directory);

/// Whether target_modules' list means this module: its name, or what it ends with behind a dot.
bool is_target(const std::vector<std::string>& targets, const std::string& module);

/// The model that an adapter lies on, as peft is told of it.
struct AdapterBase {
  std::string name;                  // a path or a name
  std::vector<std::string> linears;  // every linear module of the blocks
  bool conv1d = false;               // modules hold W^T (GPT-2)
};
AdapterBase adapter_base(const Graph& graph, const std::string& name);

/// Error(kUsage): a checkpoint whose tensors are named without the model's prefix, as "wte.weight" is: peft would load
/// an adapter of such modules, and silently leave out all of them. `path`: the checkpoint's.
void check_names_for_peft(const Graph& graph, const std::string& path);

/// What peft needs to know of an adapter of these modules, with DoRA all or none, alpha = scale r. Targets are last
/// names where every linear module of the base with such a name is adapted, else whole names; ranks and alphas that
/// are not the most frequent are in rank_pattern and alpha_pattern.
Json peft_config(const std::map<std::string, AdapterModule>& modules, const AdapterBase& base);

/// Writes kAdapterConfig and kAdapterWeights, fp32, into a directory that is there: what read_peft_adapter() reads.
void write_peft_adapter(const std::string& directory, const std::map<std::string, AdapterModule>& modules,
                        const AdapterBase& base);
/// Bytes of the factors.
int64_t bytes_of(const std::map<std::string, AdapterModule>& modules);

}  // namespace bitloom
