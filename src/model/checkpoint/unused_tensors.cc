#include "model/checkpoint/unused_tensors.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace bitloom {
namespace {

struct Qualifier {
  std::string_view part;  // of the name behind "MODULE."
  std::string_view meaning;
};

// Names that quantizers and trainers of adapters put beside MODULE.weight.
constexpr std::array kQualifiers = {
    Qualifier{"scale", "a scale of quantized values"}, Qualifier{"zero", "a zero point of quantized values"},
    Qualifier{"g_idx", "the groups of quantized columns"}, Qualifier{"SCB", "the scales of quantized rows"},
    Qualifier{"lora_", "an adapter that is added to it"}};

// Scales of a quantized cache: the values of the weights do not depend on them.
constexpr std::array<std::string_view, 4> kCacheScales = {"k_scale", "v_scale", "k_proj.output_scale",
                                                          "v_proj.output_scale"};

// Buffers that are computed from the configuration.
constexpr std::array<std::string_view, 6> kBuffers = {"rotary_emb.inv_freq", ".masked_bias",  ".attn.bias",
                                                      ".attention.bias",     ".position_ids", "rope_freqs.weight"};
constexpr std::array<std::string_view, 2> kHeads = {"lm_head.weight", "embed_out.weight"};

template <typename Range>
bool ends_with_any(std::string_view name, const Range& endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view end) { return name.ends_with(end); });
}

struct Qualified {
  std::string tensor;  // "" where the name qualifies none
  std::string_view meaning;
};

/// What `name` says something about: "X.input_scale" and "X.lora_A.weight" have a known word beside "X.weight",
/// "X.weight.absmax" and "X.weight_mask" go on behind it.
Qualified qualified_by(const std::string& name, const std::set<std::string>& used) {
  for (size_t end = name.find_first_of("._"); end != std::string::npos; end = name.find_first_of("._", end + 1)) {
    const std::string before = name.substr(0, end);
    if (used.contains(before)) return {before, "a part of its values"};
    const std::string weight = before + ".weight";
    if (name[end] != '.' || !used.contains(weight)) continue;
    for (const Qualifier& row : kQualifiers) {
      if (name.find(row.part, end + 1) != std::string::npos) return {weight, row.meaning};
    }
  }
  return {};
}

}  // namespace

void refuse_qualifying_tensors(const std::string& origin, const std::set<std::string>& used,
                               const std::map<std::string, std::string>& unused) {
  for (const auto& [name, file] : unused) {
    if (ends_with_any(name, kCacheScales)) continue;
    const Qualified found = qualified_by(name, used);
    if (found.tensor.empty()) continue;
    refuse(
        "{}: tensor '{}' changes what '{}' means ({}), and {} does not say how; bitloom reads unquantized "
        "checkpoints, its own and GGUF",
        file, name, found.tensor, found.meaning, origin);
  }
}

std::string remark_on_unused(const std::string& origin, const std::map<std::string, std::string>& unused,
                             bool tied_head) {
  std::string first;
  int count = 0;
  for (const auto& [name, file] : unused) {
    if (ends_with_any(name, kBuffers) || (tied_head && ends_with_any(name, kHeads))) continue;
    if (count++ == 0) first = name;
  }
  if (count == 0) return "";
  return fmt::format("{}: tensors that the model does not use are left out: {}, such as '{}'", origin, count, first);
}

}  // namespace bitloom
