#include "export/peft/adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "export/module_names.h"
#include "io/directory/output_file.h"
#include "io/safetensors/safetensors.h"
#include "model/config_reader.h"

namespace bitloom {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";

/// Keys that would change the result, each with what is said of it.
struct RefusedKey {
  const char *key, *reason;
};
constexpr RefusedKey kRefusedKeys[] = {
    {"modules_to_save", "modules that are saved whole are not read"},
    {"target_parameters", "adapters of parameters that are no module's weight are not read"},
    {"trainable_token_indices", "trained embeddings are not read"},
    {"layer_replication", "layers are not repeated"},
    {"megatron_config", "parallel modules are not read"},
    {"alora_invocation_tokens", "adapters that begin at a token are not carried out"},
    {"lora_bias", "biases of adapters are not read"},
    {"corda_config", "it changes the base's weights"},
    {"use_bdlora", "block-diagonal factors are not read"},
    {"use_qalora", "pooled inputs are not carried out"},
    {"arrow_config", "routed adapters are not read"},
    {"kasa_config", "it changes the base's weights"},
    {"lora_ga_config", "it changes the base's weights"},
    {"monteclora_config", "sampled adapters are not read"},
};

/// Starts of training that leave other weights in the base than its files have.
constexpr std::string_view kChangesBase[] = {"pissa", "olora", "corda", "loftq"};

constexpr double kGreatest = 1e6;  // of ranks and alphas

class AdapterReader {
 public:
  explicit AdapterReader(const std::string& directory)
      : config_path_(directory + "/" + kAdapterConfig),
        weights_path_(directory + "/" + kAdapterWeights),
        json_(read_config(directory)),
        config_(json_, config_path_) {
    adapter_.path = directory;
  }

  PeftAdapter read() {
    check_config();
    read_tensors();
    for (auto& [name, module] : adapter_.modules) check(name, module);
    if (adapter_.modules.empty()) refuse("{}: holds no adapter of any module", weights_path_);
    return std::move(adapter_);
  }

 private:
  Json read_config(const std::string& directory) const {
    if (!std::filesystem::exists(config_path_)) {
      refuse("{}: no {}, which a PEFT adapter's directory has", directory, kAdapterConfig);
    }
    if (!std::filesystem::exists(weights_path_)) {
      const bool pickled = std::filesystem::exists(directory + "/adapter_model.bin");
      refuse("{}: no {}{}", directory, kAdapterWeights,
             pickled ? "; adapter_model.bin is not read: save it again with safe_serialization=True" : "");
    }
    return read_json(config_path_);
  }

  void check_config() {
    if (const std::string type = config_.text("peft_type"); type != "LORA") {
      config_.refuse_value("peft_type", "allowed is \"LORA\"");
    }
    for (const RefusedKey& refused : kRefusedKeys) config_.refuse_if_set(refused.key, refused.reason);
    if (config_.text("bias", "none") != "none") config_.refuse_value("bias", "allowed is \"none\"");
    const auto start = json_.find("init_lora_weights");
    if (start != json_.end() && start->is_string()) {
      std::string how = start->get<std::string>();
      for (char& c : how) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));  // as peft compares
      for (const std::string_view changes : kChangesBase) {
        if (!how.starts_with(changes)) continue;
        config_.refuse_value("init_lora_weights",
                             "which changed the base's weights: save the adapter converted to plain LoRA "
                             "(path_initial_model_for_weight_conversion)");
      }
    }
    rank_ = config_.count("r");
    alpha_ = config_.number("lora_alpha", 8);
    if (std::abs(alpha_) > kGreatest) config_.refuse_value("lora_alpha", "at most 1e6 is allowed");
    root_ = config_.flag("use_rslora", false);
    dora_ = config_.flag("use_dora", false);
    ranks_ = config_.object("rank_pattern"), alphas_ = config_.object("alpha_pattern");
    for (const Json* pattern : {&ranks_, &alphas_}) check_pattern(*pattern);
    const auto targets = json_.find("target_modules");
    if (targets != json_.end() && targets->is_array()) adapter_.targets = config_.texts("target_modules");
    const auto layers = json_.find("layers_to_transform");
    const auto left_out = json_.find("exclude_modules");
    adapter_.of_all_layers =
        (layers == json_.end() || layers->is_null()) && (left_out == json_.end() || left_out->is_null());
  }

  void check_pattern(const Json& pattern) const {
    for (const auto& [name, value] : pattern.items()) {
      if (name.find_first_of("*+?[](){}|\\$^") != std::string::npos) {
        refuse("{}: '{}' in {} is a regular expression; names are read alone", config_path_, name, key_of(pattern));
      }
      if (!value.is_number() || !(value.get<double>() > 0) || value.get<double>() > kGreatest) {
        refuse("{}: {}.{} is {}, must be a number above 0, at most 1e6", config_path_, key_of(pattern), name,
               value.dump());
      }
    }
  }
  const char* key_of(const Json& pattern) const { return &pattern == &ranks_ ? "rank_pattern" : "alpha_pattern"; }

  /// As peft does it: the first name that is the module's, or its end.
  static std::optional<double> find_pattern(const Json& pattern, const std::string& module) {
    for (const auto& [name, value] : pattern.items()) {
      if (is_target({name}, module)) return value.get<double>();
    }
    return std::nullopt;
  }

  void read_tensors() {
    for (const TensorView& tensor : open_safetensors(weights_path_).tensors) {
      const std::string& name = tensor.name;
      // The module of a name that ends so.
      const auto module = [&](std::string_view end) -> AdapterModule* {
        if (!name.starts_with(kPrefix) || !name.ends_with(end)) return nullptr;
        return &adapter_.modules[name.substr(kPrefix.size(), name.size() - kPrefix.size() - end.size())];
      };
      if (AdapterModule* of_a = module(".lora_A.weight")) {
        of_a->a = values_of(tensor, 2), of_a->rank = tensor.shape[0], of_a->in = tensor.shape[1];
      } else if (AdapterModule* of_b = module(".lora_B.weight")) {
        of_b->b = values_of(tensor, 2), of_b->out = tensor.shape[0];
        width_of_b_[of_b] = tensor.shape[1];
      } else if (AdapterModule* of_m = dora_ ? module(".lora_magnitude_vector") : nullptr) {
        of_m->magnitude = values_of(tensor, 1);
      } else {
        refuse("{}: tensor '{}' is none that is read; those are {}MODULE.lora_A.weight, .lora_B.weight{}",
               weights_path_, name, kPrefix, dora_ ? " and .lora_magnitude_vector" : "");
      }
    }
  }

  std::vector<float> values_of(const TensorView& tensor, size_t dimensions) const {
    if (tensor.shape.size() != dimensions || tensor.elements() == 0) {
      refuse("{}: tensor '{}' has shape {}, must be a {} that is not empty", weights_path_, tensor.name,
             shape_text(tensor.shape), dimensions == 2 ? "matrix" : "vector");
    }
    std::vector<float> values = dense_rows(tensor)->decode_all();
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
      refuse("{}: tensor '{}' has a value that is not finite", weights_path_, tensor.name);
    }
    return values;
  }

  void check(const std::string& name, AdapterModule& module) const {
    if (module.a.empty() || module.b.empty()) {
      refuse("{}: '{}' has no lora_{}", weights_path_, name, module.a.empty() ? "A" : "B");
    }
    const double rank = find_pattern(ranks_, name).value_or(static_cast<double>(rank_));
    const int64_t of_b = width_of_b_.at(&module);
    if (static_cast<double>(module.rank) != rank || module.rank != of_b) {
      refuse("{}: '{}' has lora_A of rank {} and lora_B of rank {}; {} says {}", weights_path_, name, module.rank, of_b,
             config_path_, rank);
    }
    const double alpha = find_pattern(alphas_, name).value_or(alpha_);
    module.scale = alpha / (root_ ? std::sqrt(rank) : rank);
    if (!dora_) return;
    if (static_cast<int64_t>(module.magnitude.size()) != module.out) {
      refuse("{}: '{}' has {} rows and a lora_magnitude_vector of {}", weights_path_, name, module.out,
             module.magnitude.size());
    }
  }

  const std::string config_path_, weights_path_;
  const Json json_;
  const ConfigReader config_;
  PeftAdapter adapter_;
  std::map<const AdapterModule*, int64_t> width_of_b_;
  int64_t rank_ = 0;
  double alpha_ = 0;
  bool root_ = false, dora_ = false;
  Json ranks_, alphas_;
};

std::string last_name(const std::string& module) { return module.substr(module.rfind('.') + 1); }

/// An integer where it is one, as peft writes ranks and alphas.
Json number(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

}  // namespace

PeftAdapter read_peft_adapter(const std::string& directory) { return AdapterReader(directory).read(); }

bool is_target(const std::vector<std::string>& targets, const std::string& module) {
  return std::any_of(targets.begin(), targets.end(),
                     [&](const std::string& target) { return module == target || module.ends_with("." + target); });
}

AdapterBase adapter_base(const Graph& graph, const std::string& name) {
  AdapterBase base{name, {}};
  for (const auto& [tensor, linear] : block_linears(graph)) {
    base.linears.push_back(module_of(tensor));
    base.conv1d |= linear->stored_in_out;
  }
  return base;
}

Json peft_config(const std::map<std::string, AdapterModule>& modules, const AdapterBase& base) {
  std::set<std::string> names, targets;
  for (const auto& [name, module] : modules) names.insert(last_name(name));
  for (const std::string& name : names) {
    const bool all = std::all_of(base.linears.begin(), base.linears.end(), [&](const std::string& linear) {
      return last_name(linear) != name || modules.contains(linear);
    });
    if (all) targets.insert(name);
    for (const auto& [module, of] : modules) {
      if (!all && last_name(module) == name) targets.insert(module);
    }
  }
  const auto alpha_of = [](const AdapterModule& module) { return module.scale * static_cast<double>(module.rank); };
  std::map<std::pair<int64_t, double>, int64_t> kinds;  // rank and alpha
  for (const auto& [name, module] : modules) ++kinds[{module.rank, alpha_of(module)}];
  const auto [rank, alpha] = std::max_element(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) {
                               return a.second < b.second;
                             })->first;
  Json ranks = Json::object(), alphas = Json::object();
  for (const auto& [name, module] : modules) {
    if (module.rank != rank) ranks[name] = module.rank;
    if (alpha_of(module) != alpha) alphas[name] = number(alpha_of(module));
  }
  const bool dora = !modules.empty() && !modules.begin()->second.magnitude.empty();
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base.name},
          {"inference_mode", true},
          {"r", rank},
          {"lora_alpha", number(alpha)},
          {"rank_pattern", ranks},
          {"alpha_pattern", alphas},
          {"lora_dropout", 0.0},
          {"bias", "none"},
          {"use_rslora", false},
          {"use_dora", dora},
          {"fan_in_fan_out", base.conv1d},
          {"init_lora_weights", true},
          {"target_modules", targets}};
}

void check_names_for_peft(const Graph& graph, const std::string& path) {
  if (std::count(graph.embedding.begin(), graph.embedding.end(), '.') >= 2) return;
  misuse(
      "{}: its tensors are named without the model's prefix, as '{}' is: peft would not find the modules of an adapter "
      "by such names",
      path, graph.embedding);
}

int64_t bytes_of(const std::map<std::string, AdapterModule>& modules) {
  int64_t values = 0;
  for (const auto& [name, module] : modules) {
    values += static_cast<int64_t>(module.a.size() + module.b.size() + module.magnitude.size());
  }
  return values * static_cast<int64_t>(sizeof(float));
}

void write_peft_adapter(const std::string& directory, const std::map<std::string, AdapterModule>& modules,
                        const AdapterBase& base) {
  std::vector<TensorBytes> tensors;
  for (const auto& [name, module] : modules) {
    const auto add = [&](const char* which, const std::vector<float>& values, std::vector<int64_t> shape) {
      if (values.empty()) return;
      tensors.push_back({{std::string(kPrefix) + name + which, DType::kF32, std::move(shape)},
                         std::as_bytes(std::span<const float>(values))});
    };
    add(".lora_A.weight", module.a, {module.rank, module.in});
    add(".lora_B.weight", module.b, {module.out, module.rank});
    add(".lora_magnitude_vector", module.magnitude, {module.out});
  }
  write_safetensors_file(directory + "/" + kAdapterWeights, tensors, {{"format", "pt"}});
  replace_file(directory + "/" + kAdapterConfig, dump_json(peft_config(modules, base)));
}

}  // namespace bitloom
