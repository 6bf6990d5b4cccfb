#include "model/rope/rope_config.h"

#include <cmath>

#include "base/error.h"
#include "model/rope/rope_types.h"

namespace bitloom {
namespace {

const std::string kOriginal = "original_max_position_embeddings";

/// The name of the type, older spellings resolved.
std::string type_name(const ConfigReader& settings, const RopeRules& rules) {
  const std::string key = settings.has("rope_type") ? "rope_type" : "type";
  std::string name = settings.text(key, "default");
  if (rules.phi3_names && (name == "su" || name == "yarn")) name = "longrope";
  return name;
}

const RopeType& find_type(const ConfigReader& settings, const RopeRules& rules) {
  const std::string name = type_name(settings, rules);
  std::string allowed;
  for (const RopeType& type : rope_types()) {
    if (rules.phi3_names && type.name != "default" && type.name != "longrope") continue;
    if (type.name == name) return type;
    allowed += (allowed.empty() ? "" : ", ") + std::string(type.name);
  }
  const std::string key = settings.has("rope_type") || !settings.has("type") ? "rope_type" : "type";
  settings.refuse_value(key, "supported: " + allowed);
}

/// Channels that are rotated. transformers truncates: int(head_dim * factor).
int64_t rotated_channels(const ConfigReader& settings, const RopeRules& rules) {
  const double factor = settings.positive("partial_rotary_factor", rules.default_partial);
  if (factor > 1.0) settings.refuse_value("partial_rotary_factor", "expected at most 1");
  if (factor < 1.0 && !rules.partial) {
    settings.refuse_value("partial_rotary_factor", "but this architecture rotates whole heads");
  }
  const auto dim =
      rules.rotated > 0 ? rules.rotated : static_cast<int64_t>(static_cast<double>(rules.head_dim) * factor);
  // The bound is far above any model's heads, and keeps a lying file from filling the memory with frequencies.
  constexpr int64_t kMaxChannels = 65536;
  if (dim < 1 || dim > kMaxChannels || (dim + 1) / 2 * 2 > rules.head_dim) {
    refuse("{}: rotary embedding of {} channels does not fit heads of {} channels (at most {})", settings.origin(), dim,
           rules.head_dim, kMaxChannels);
  }
  return dim;
}

/// Copies the older spelling's top-level key into the settings unless they have their own.
void inherit(Json& settings, const ConfigReader& config, const std::string& from, const std::string& to) {
  if (settings.contains(to) && !settings[to].is_null()) return;
  if (config.has(from)) settings[to] = config.number(from);
}

/// Plain frequencies of the base theta * alpha^(dim / (dim - 2)).
Rope stretched(RopeBase base, const ConfigReader& settings) {
  const auto dim = static_cast<double>(base.dim);
  if (base.dim <= 2) settings.refuse_value("alpha", "which needs heads of more than 2 rotated channels");
  base.theta *= std::pow(settings.positive("alpha"), dim / (dim - 2.0));
  return rope_types().front().build(base, settings);
}

}  // namespace

Rope rope_from_settings(const ConfigReader& settings, const RopeRules& rules) {
  settings.refuse_if_set("mrope_section", "multimodal rotary positions are not supported");
  const RopeType& type = find_type(settings, rules);
  RopeBase base;
  base.theta = settings.positive("rope_theta", rules.default_theta);
  base.dim = type.name == "proportional" ? rules.head_dim : rotated_channels(settings, rules);
  base.max_positions = rules.max_positions;
  base.original_positions = settings.count(kOriginal, rules.max_positions);
  Rope rope = rules.alpha && settings.has("alpha") && type.name == "dynamic" ? stretched(base, settings)
                                                                             : type.build(base, settings);
  rope.interleaved = rules.interleaved;
  bool finite = std::isfinite(rope.attention_factor);
  for (const auto* frequencies : {&rope.inv_freq, &rope.long_inv_freq}) {
    for (const double frequency : *frequencies) finite = finite && std::isfinite(frequency);
  }
  if (!finite) refuse("{}: the rotary settings give frequencies that are not finite", settings.origin());
  return rope;
}

Rope rope_from_config(const ConfigReader& config, const RopeRules& rules) {
  Json settings = config.object("rope_scaling");
  std::string name = "rope_scaling";
  if (settings.empty()) {
    settings = config.object("rope_parameters");
    if (!settings.empty()) name = "rope_parameters";
  }
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (!settings.contains(layer_type)) continue;
    refuse("{}: '{}' is given per layer type ('{}'), which this architecture does not have", config.origin(), name,
           layer_type);
  }
  inherit(settings, config, rules.theta_key, "rope_theta");
  inherit(settings, config, rules.partial_key, "partial_rotary_factor");
  if (rules.default_original > 0) {
    settings[kOriginal] = config.count(kOriginal, rules.default_original);
  } else if (config.has(kOriginal)) {  // wins over the settings' own, as in transformers
    settings[kOriginal] = config.number(kOriginal);
  }
  return rope_from_settings(ConfigReader(settings, config.origin(), name + "."), rules);
}

}  // namespace bitloom
