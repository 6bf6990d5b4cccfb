#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>
#include <type_traits>

#include "base/error.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/parts.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

constexpr int kVersion = 1;
// Far beyond any sensible recipe: bounds the work on a file that is none.
constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxSteps = 1000;

/// One document being read; makes messages with "file:line:column".
class Reader {
 public:
  explicit Reader(std::string origin) : origin_(std::move(origin)) {}

  [[noreturn]] void reject(const YAML::Mark& mark, const std::string& message) const {
    // An unset mark (an empty document) counts as the start of the file.
    misuse("{}:{}:{}: {}", origin_, std::max(mark.line, 0) + 1, std::max(mark.column, 0) + 1, message);
  }

  /// Refuses a node that is no map, an unknown key and a repeated key.
  void check_keys(const YAML::Node& node, const std::string& what, std::span<const std::string> allowed) const {
    if (!node.IsMap())
      reject(node.Mark(), fmt::format("{} must be a map with the keys {}", what, fmt::join(allowed, ", ")));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string key = text(entry.first, "a key");
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
        reject(entry.first.Mark(), fmt::format("unknown key '{}' in {}{}; allowed: {}", key, what,
                                               did_you_mean(key, allowed), fmt::join(allowed, ", ")));
      }
      if (!seen.insert(key).second) reject(entry.first.Mark(), fmt::format("key '{}' is given twice in {}", key, what));
    }
  }

  std::string text(const YAML::Node& node, const std::string& what) const {
    if (!node.IsScalar()) reject(node.Mark(), fmt::format("{} must be a text, found {}", what, kind_of(node)));
    return node.Scalar();
  }

  /// A list of patterns, or a single one.
  std::vector<std::string> patterns(const YAML::Node& node, const std::string& what) const {
    std::vector<std::string> result;
    if (node.IsScalar()) {
      result.push_back(node.Scalar());
    } else if (node.IsSequence()) {
      for (const YAML::Node& item : node) result.push_back(text(item, fmt::format("each of '{}'", what)));
    } else {
      reject(node.Mark(), fmt::format("'{}' must be a list of patterns, found {}", what, kind_of(node)));
    }
    const bool blank = std::any_of(result.begin(), result.end(), [](const std::string& p) { return p.empty(); });
    if (result.empty() || blank) reject(node.Mark(), fmt::format("'{}' holds no pattern, or an empty one", what));
    return result;
  }

  RecipeStep step(const YAML::Node& node, const std::string& what) const {
    static const std::vector<std::string> allowed = {"transform", "quantize", "keep", "rounding", "targets"};
    check_keys(node, what, allowed);
    const YAML::Node quantize = node["quantize"], keep = node["keep"], transform = node["transform"];
    if (quantize.IsDefined() + keep.IsDefined() + transform.IsDefined() != 1) {
      reject(node.Mark(), fmt::format("{} must have one of the keys 'quantize', 'keep' and 'transform'", what));
    }
    if (keep.IsDefined()) return keep_step(node, what);
    RecipeStep result;
    if (const YAML::Node targets = node["targets"]; targets.IsDefined()) result.targets = patterns(targets, "targets");
    const YAML::Node rounding = node["rounding"];
    if (transform.IsDefined()) {
      if (rounding.IsDefined()) {
        reject(rounding.Mark(),
               fmt::format("{}: a transform quantizes nothing; 'rounding' goes with 'quantize'", what));
      }
      result.transform = transform_of(part(transform, what, "transform", transform_named));
      return result;
    }
    result.quantize = spec(quantize, what);
    if (rounding.IsDefined()) result.rounding = rounding_of(part(rounding, what, "rounding", rounding_named));
    return result;
  }

  void check_version(const YAML::Node& node) const {
    const std::string version = text(node, "'version'");
    if (version == std::to_string(kVersion)) return;
    reject(node.Mark(),
           fmt::format("recipe version '{}' is not supported; this program reads version {}", version, kVersion));
  }

 private:
  static const char* kind_of(const YAML::Node& node) {
    if (node.IsMap()) return "a map";
    if (node.IsSequence()) return "a list";
    return node.IsScalar() ? "a text" : "nothing";
  }

  QuantSpec spec(const YAML::Node& node, const std::string& what) const {
    const std::string spelling = text(node, fmt::format("'quantize' of {}", what));
    return at(node, what, [&] { return parse_spec(spelling); });
  }

  RecipeStep keep_step(const YAML::Node& node, const std::string& what) const {
    for (const char* key : {"rounding", "targets"}) {
      const YAML::Node extra = node[key];
      if (extra.IsDefined()) {
        reject(extra.Mark(), fmt::format("{}: 'keep' takes its patterns itself and nothing else", what));
      }
    }
    RecipeStep result;
    result.targets = patterns(node["keep"], "keep");
    return result;
  }

  /// NAME, or {NAME: {OPTION: VALUE, ...}}.
  Part part(const YAML::Node& node, const std::string& what, const char* key, Part (*named)(std::string_view)) const {
    if (node.IsScalar()) return at(node, what, [&] { return named(node.Scalar()); });
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

  /// What `read` returns; its errors with the node's place.
  template <typename Read>
  std::invoke_result_t<Read> at(const YAML::Node& node, const std::string& what, const Read& read) const {
    try {
      return read();
    } catch (const Error& error) {
      reject(node.Mark(), fmt::format("{}: {}", what, error.what()));
    }
  }

  std::string origin_;
};

YAML::Node parse_document(const std::string& yaml, const std::string& origin, const Reader& reader) {
  if (yaml.size() > kMaxBytes)
    misuse("{}: {} is too large for a recipe", origin, human_bytes(static_cast<int64_t>(yaml.size())));
  if (const size_t bad = first_invalid_utf8(yaml); bad != yaml.size()) {
    misuse("{}: byte {} is not valid UTF-8", origin, bad);
  }
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(yaml);
  } catch (const YAML::Exception& error) {
    reader.reject(error.mark, fmt::format("not valid YAML: {}", error.msg));
  }
  if (documents.size() != 1) misuse("{}: a recipe file holds one document, found {}", origin, documents.size());
  return documents.front();
}

}  // namespace

Recipe parse_recipe(const std::string& yaml, const std::string& origin) {
  static const std::vector<std::string> allowed = {"version", "name", "description", "source", "steps"};
  const Reader reader(origin);
  const YAML::Node root = parse_document(yaml, origin, reader);
  reader.check_keys(root, "the recipe", allowed);
  if (root["version"].IsDefined()) reader.check_version(root["version"]);

  Recipe recipe;
  recipe.name = std::filesystem::path(origin).stem().string();
  if (root["name"].IsDefined()) recipe.name = reader.text(root["name"], "'name'");
  if (root["description"].IsDefined()) recipe.description = reader.text(root["description"], "'description'");
  if (root["source"].IsDefined()) recipe.source = reader.text(root["source"], "'source'");

  const YAML::Node steps = root["steps"];
  if (!steps.IsDefined()) reader.reject(root.Mark(), "the key 'steps' is missing");
  if (!steps.IsSequence() || steps.size() == 0)
    reader.reject(steps.Mark(), "'steps' must be a list of at least one step");
  if (steps.size() > kMaxSteps)
    reader.reject(steps.Mark(), fmt::format("{} steps are too many; at most {}", steps.size(), kMaxSteps));
  for (size_t i = 0; i < steps.size(); ++i)
    recipe.steps.push_back(reader.step(steps[i], fmt::format("step {}", i + 1)));
  if (const auto fault = find_fault(recipe)) {
    reader.reject(steps[fault->step].Mark(), fmt::format("step {}: {}", fault->step + 1, fault->reason));
  }
  return recipe;
}

}  // namespace bitloom
