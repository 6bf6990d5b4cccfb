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

/// What peft needs to know of an adapter of these modules, all of scale 1 and one dtype, over the model `base` (a path
/// or a name). Targets are last names where every linear module of `linears` with such a name is adapted, else whole
/// names; ranks that are not the most frequent are in rank_pattern. `conv1d`: modules hold W^T (GPT-2).
Json peft_config(const std::map<std::string, AdapterModule>& modules, const std::vector<std::string>& linears,
                 const std::string& base, bool conv1d);

}  // namespace bitloom
