#include <filesystem>
#include <set>

#include "base/error.h"
#include "io/yaml_reader.h"
#include "recipe/check.h"
#include "recipe/file_options.h"
#include "recipe/parts.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

constexpr int kVersion = 1;
constexpr size_t kMaxSteps = 1000;  // far beyond any sensible recipe: bounds the work on a file that is none

/// The nodes of a recipe as values.
class Reader : public YamlReader {
 public:
  explicit Reader(const std::string& origin) : YamlReader(origin, "recipe") {}

  RecipeStep step(const YAML::Node& node, const std::string& what) const {
    static const std::vector<std::string> allowed = {"transform", "quantize",    "keep",   "attention",
                                                     "rounding",  "activations", "targets"};
    check_keys(node, what, allowed);
    const YAML::Node quantize = node["quantize"], keep = node["keep"], transform = node["transform"];
    const YAML::Node attention = node["attention"];
    if (quantize.IsDefined() + keep.IsDefined() + transform.IsDefined() + attention.IsDefined() != 1) {
      reject(node.Mark(),
             fmt::format("{} must have one of the keys 'quantize', 'attention', 'keep' and 'transform'", what));
    }
    if (keep.IsDefined()) return keep_step(node, what);
    if (attention.IsDefined()) return attention_step(node, what);
    RecipeStep result;
    if (const YAML::Node targets = node["targets"]; targets.IsDefined())
      result.targets = texts(targets, "targets", "pattern");
    const YAML::Node rounding = node["rounding"];
    const YAML::Node activations = node["activations"];
    if (transform.IsDefined()) {
      if (activations.IsDefined()) {
        reject(activations.Mark(), fmt::format("{}: 'activations' goes with 'quantize'", what));
      }
      if (rounding.IsDefined()) {
        reject(rounding.Mark(),
               fmt::format("{}: a transform quantizes nothing; 'rounding' goes with 'quantize'", what));
      }
      result.transform = transform_of(part(transform, what, "transform", transform_named));
      return result;
    }
    result.quantize = spec(quantize, what);
    if (activations.IsDefined()) {
      result.activations = activation_format(activations, what, "activations");
    }
    if (rounding.IsDefined()) result.rounding = rounding_of(part(rounding, what, "rounding", rounding_named));
    return result;
  }

  /// "transform: none", "quantize: none", "attention: none", which options of a file put in the place of a part or a
  /// format.
  static bool is_no_step(const YAML::Node& node) {
    const auto says_none = [&](const char* key) {
      return node[key].IsDefined() && node[key].IsScalar() && node[key].Scalar() == "none";
    };
    return node.IsMap() && (says_none("transform") || says_none("quantize") || says_none("attention"));
  }

  void check_version(const YAML::Node& node) const {
    const std::string version = text(node, "'version'");
    if (version == std::to_string(kVersion)) return;
    reject(node.Mark(),
           fmt::format("recipe version '{}' is not supported; this program reads version {}", version, kVersion));
  }

 private:
  RoundingTarget spec(const YAML::Node& node, const std::string& what) const {
    const std::string spelling = text(node, fmt::format("'quantize' of {}", what));
    return at(node, what, [&] { return parse_target(spelling); });
  }

  ActivationFormat activation_format(const YAML::Node& node, const std::string& what, const char* key) const {
    const std::string spelling = text(node, fmt::format("'{}' of {}", key, what));
    return at(node, what, [&] { return parse_activation_format(spelling); });
  }

  RecipeStep attention_step(const YAML::Node& node, const std::string& what) const {
    for (const char* key : {"rounding", "activations"}) {
      if (!node[key].IsDefined()) continue;
      reject(node[key].Mark(), fmt::format("{}: '{}' goes with 'quantize'", what, key));
    }
    RecipeStep result;
    result.attention = activation_format(node["attention"], what, "attention");
    if (!node["targets"].IsDefined()) {
      reject(node.Mark(), fmt::format("{}: 'attention' needs 'targets', such as [keys, values]", what));
    }
    result.targets = texts(node["targets"], "targets", "pattern");
    return result;
  }

  RecipeStep keep_step(const YAML::Node& node, const std::string& what) const {
    for (const char* key : {"rounding", "activations", "targets"}) {
      const YAML::Node extra = node[key];
      if (extra.IsDefined()) {
        reject(extra.Mark(), fmt::format("{}: 'keep' takes its patterns itself and nothing else", what));
      }
    }
    RecipeStep result;
    result.targets = texts(node["keep"], "keep", "pattern");
    return result;
  }

  /// NAME, NAME:OPTION=VALUE,... as in the short form, or {NAME: {OPTION: VALUE, ...}}.
  Part part(const YAML::Node& node, const std::string& what, const char* key, Part (*named)(std::string_view)) const {
    if (node.IsScalar()) {
      return at(node, what, [&] {
        const std::string text = node.Scalar();
        const size_t colon = text.find(':');
        Part result = named(text.substr(0, colon));
        if (colon != std::string::npos) set_options(result, text.substr(colon + 1));
        return result;
      });
    }
    if (!node.IsMap() || node.size() != 1) {
      reject(node.Mark(), fmt::format("'{}' of {} must be a name, or a map of one name to its options, found {}", key,
                                      what, node.IsMap() ? fmt::format("{} names", node.size()) : kind_of(node)));
    }
    const YAML::Node name = node.begin()->first, options = node.begin()->second;
    const std::string spelling = text(name, fmt::format("'{}' of {}", key, what));
    Part result = at(name, what, [&] { return named(spelling); });
    if (!options.IsMap()) {
      reject(options.Mark(),
             fmt::format("{}: the options of '{}' must be a map, found {}", what, spelling, kind_of(options)));
    }
    std::set<const Option*> given;
    for (const auto& entry : options) {
      const std::string option = text(entry.first, "a key");
      const std::string value = text(entry.second, fmt::format("'{}' of {}", option, what));
      const Option& set = at(entry.first, what, [&]() -> const Option& { return set_option(result, option, value); });
      if (given.insert(&set).second) continue;
      reject(entry.first.Mark(), fmt::format("{}: {} of '{}' is given twice", what, set.name, spelling));
    }
    return result;
  }
};

}  // namespace

Recipe parse_recipe(const std::string& yaml, const std::string& origin, const std::string& options) {
  static const std::vector<std::string> allowed = {"version", "name", "description", "source", "options", "steps"};
  const Reader reader(origin);
  const YAML::Node root = reader.parse(yaml);
  reader.check_keys(root, "the recipe", allowed);
  if (root["version"].IsDefined()) reader.check_version(root["version"]);

  const std::string changed = apply_file_options(reader, root, options);
  Recipe recipe;
  recipe.name = std::filesystem::path(origin).stem().string();
  if (root["name"].IsDefined()) recipe.name = reader.text(root["name"], "'name'");
  if (!changed.empty()) recipe.name += ":" + changed;
  if (root["description"].IsDefined()) recipe.description = reader.text(root["description"], "'description'");
  if (root["source"].IsDefined()) recipe.source = reader.text(root["source"], "'source'");

  const YAML::Node steps = root["steps"];
  if (!steps.IsDefined()) reader.reject(root.Mark(), "the key 'steps' is missing");
  if (!steps.IsSequence() || steps.size() == 0)
    reader.reject(steps.Mark(), "'steps' must be a list of at least one step");
  if (steps.size() > kMaxSteps)
    reader.reject(steps.Mark(), fmt::format("{} steps are too many; at most {}", steps.size(), kMaxSteps));
  std::vector<size_t> places;  // of the recipe's steps in the file
  for (size_t i = 0; i < steps.size(); ++i) {
    if (reader.is_no_step(steps[i])) continue;
    recipe.steps.push_back(reader.step(steps[i], fmt::format("step {}", i + 1)));
    places.push_back(i);
  }
  if (places.empty()) reader.reject(steps.Mark(), "every step is 'none'");
  if (const auto fault = find_fault(recipe)) {
    const size_t place = places[fault->step];
    reader.reject(steps[place].Mark(), fmt::format("step {}: {}", place + 1, fault->reason));
  }
  return recipe;
}

}  // namespace bitloom
