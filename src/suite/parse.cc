#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/text/text.h"
#include "io/yaml_reader.h"
#include "suite/suite.h"
#include "suite/tables/values.h"
#include "suite/words.h"

namespace bitloom {
namespace {

constexpr size_t kMaxEntries = 1000;  // of any list: far beyond any sensible suite

using Keys = std::vector<std::string>;

/// Names that mean something else in commands.
const Keys& reserved_names() {
  static const Keys names = {"source", "quantized", "out", "model", "recipe", "format", kQuantize};
  return names;
}

/// Of files and variables.
Keys names_of(const Suite& suite) {
  Keys names;
  for (const NamedTexts* texts : {&suite.files, &suite.variables})
    for (const auto& [name, value] : *texts) names.push_back(name);
  return names;
}

std::string there_are(const Keys& names) {
  return names.empty() ? "there are none" : fmt::format("there are: {}", fmt::join(names, ", "));
}

class Reader : public YamlReader {
 public:
  explicit Reader(const std::string& origin) : YamlReader(origin, "suite") {}

  Suite suite(const YAML::Node& root, const std::string& path) const {
    static const Keys keys = {"version",  "name",    "title",       "files",  "variables", "formats", "models",
                              "quantize", "recipes", "evaluations", "tables", "pairs",     "plots"};
    check_keys(root, "the suite", keys);
    if (root["version"].IsDefined()) check_version(root["version"]);
    Suite suite;
    suite.path = path;
    suite.name = optional_text(root, "name", std::filesystem::path(path).stem().string());
    suite.title = optional_text(root, "title");
    suite.quantize = optional_text(root, "quantize");
    suite.files = named_texts(root["files"], "files");
    suite.variables = named_texts(root["variables"], "variables");
    for (const YAML::Node& node : list(root, "models")) {
      suite.models.push_back(model(node));
      check_set(node, suite.models.back(), suite);
    }
    suite.recipes = recipes(root);
    for (const YAML::Node& node : list(root, "evaluations")) suite.evaluations.push_back(evaluation(node));
    for (const YAML::Node& node : list(root, "tables")) suite.tables.push_back(table(node));
    if (root["pairs"].IsDefined()) suite.pairs = pairs(root["pairs"]);
    if (root["plots"].IsDefined())
      for (const YAML::Node& node : list(root, "plots")) suite.plots.push_back(plot(node));
    check_names(root, suite);
    return suite;
  }

 private:
  void check_version(const YAML::Node& node) const {
    if (text(node, "'version'") != "1")
      reject(node.Mark(),
             fmt::format("suite version '{}' is not supported; this program reads version 1", node.Scalar()));
  }

  std::string optional_text(const YAML::Node& map, const char* key, const std::string& otherwise = "") const {
    const YAML::Node node = map[key];
    return node.IsDefined() ? text(node, fmt::format("'{}'", key)) : otherwise;
  }

  std::string required_text(const YAML::Node& map, const char* key, const std::string& what) const {
    if (!map[key].IsDefined()) reject(map.Mark(), fmt::format("{} lacks the key '{}'", what, key));
    const std::string value = text(map[key], fmt::format("'{}' of {}", key, what));
    if (value.empty()) reject(map[key].Mark(), fmt::format("'{}' of {} is empty", key, what));
    return value;
  }

  std::vector<YAML::Node> list(const YAML::Node& map, const char* key) const {
    const YAML::Node node = map[key];
    if (!node.IsDefined()) reject(map.Mark(), fmt::format("the key '{}' is missing", key));
    if (!node.IsSequence() || node.size() == 0 || node.size() > kMaxEntries)
      reject(node.Mark(), fmt::format("'{}' must be a list of 1 to {} entries", key, kMaxEntries));
    return {node.begin(), node.end()};
  }

  NamedTexts named_texts(const YAML::Node& node, const std::string& what) const {
    NamedTexts result;
    if (!node.IsDefined()) return result;
    if (!node.IsMap())
      reject(node.Mark(), fmt::format("'{}' must be a map of names to texts, found {}", what, kind_of(node)));
    for (const auto& entry : node)
      result.emplace_back(text(entry.first, fmt::format("a name of '{}'", what)),
                          text(entry.second, fmt::format("each of '{}'", what)));
    return result;
  }

  SuiteModel model(const YAML::Node& node) const {
    SuiteModel model;
    if (node.IsScalar()) {
      model.path = node.Scalar();
    } else {
      static const Keys keys = {"name", "path", "set"};
      check_keys(node, "a model", keys);
      model.path = required_text(node, "path", "a model");
      model.name = optional_text(node, "name");
      model.set = named_texts(node["set"], "set");
    }
    std::filesystem::path path = std::filesystem::path(model.path).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    if (model.name.empty()) model.name = path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
    return model;
  }

  void check_set(const YAML::Node& node, const SuiteModel& model, const Suite& suite) const {
    const Keys known = names_of(suite);
    for (const auto& [name, value] : model.set)
      if (std::find(known.begin(), known.end(), name) == known.end())
        reject(node["set"].Mark(), fmt::format("'set' of model '{}': the suite has no file or variable '{}'{}; {}",
                                               model.name, name, did_you_mean(name, known), there_are(known)));
  }

  /// Formats outside, recipes inside; a recipe without {format} once.
  std::vector<SuiteRecipe> recipes(const YAML::Node& root) const {
    std::vector<std::string> formats = {""};
    if (root["formats"].IsDefined()) formats = texts(root["formats"], "formats", "format");
    std::vector<SuiteRecipe> result;
    for (size_t f = 0; f < formats.size(); ++f) {
      for (const YAML::Node& node : list(root, "recipes")) {
        SuiteRecipe recipe = this->recipe(node);
        const Keys used = placeholders(recipe.recipe);
        const bool by_format = std::find(used.begin(), used.end(), "format") != used.end();
        if (by_format && formats[f].empty()) reject(node.Mark(), "{format} in a recipe needs the key 'formats'");
        if (!by_format && f > 0) continue;
        if (by_format) recipe.format = formats[f];
        const auto value = [&](const std::string& name) {
          return name == "format" ? std::optional(recipe.format) : std::nullopt;
        };
        recipe.recipe = at(node, "a recipe", [&] { return fill(recipe.recipe, value, {"format"}); });
        if (recipe.name.empty()) recipe.name = recipe.recipe;
        result.push_back(std::move(recipe));
      }
    }
    return result;
  }

  SuiteRecipe recipe(const YAML::Node& node) const {
    SuiteRecipe recipe;
    recipe.place = place(node.Mark());
    if (node.IsScalar()) {
      recipe.recipe = node.Scalar();
      return recipe;
    }
    static const Keys keys = {"name", "recipe", "quantize"};
    check_keys(node, "a recipe", keys);
    recipe.recipe = required_text(node, "recipe", "a recipe");
    recipe.name = optional_text(node, "name");
    recipe.flags = optional_text(node, "quantize");
    return recipe;
  }

  SuiteEvaluation evaluation(const YAML::Node& node) const {
    static const Keys keys = {"name", "run", "skip"};
    check_keys(node, "an evaluation", keys);
    SuiteEvaluation evaluation;
    evaluation.place = place(node.Mark());
    evaluation.name = required_text(node, "name", "an evaluation");
    evaluation.run = required_text(node, "run", fmt::format("evaluation '{}'", evaluation.name));
    if (node["skip"].IsDefined()) evaluation.skip = texts(node["skip"], "skip", "recipe");
    return evaluation;
  }

  SuiteTable table(const YAML::Node& node) const {
    static const Keys keys = {"name", "caption", "rows", "columns"};
    check_keys(node, "a table", keys);
    SuiteTable table;
    table.place = place(node.Mark());
    table.name = optional_text(node, "name");
    table.caption = optional_text(node, "caption");
    if (node["rows"].IsDefined()) table.rows = texts(node["rows"], "rows", "recipe");
    for (const YAML::Node& entry : list(node, "columns")) table.columns.push_back(column(entry));
    return table;
  }

  SuiteColumn column(const YAML::Node& node) const {
    static const Keys keys = {"title", "text", "value", "interval", "as"};
    check_keys(node, "a column", keys);
    SuiteColumn column;
    column.place = place(node.Mark());
    column.title = required_text(node, "title", "a column");
    column.text = optional_text(node, "text");
    if (node["value"].IsDefined()) column.values = texts(node["value"], "value", "EVALUATION.KEY");
    column.interval = optional_text(node, "interval");
    column.as = optional_text(node, "as", "text");
    if (column.text.empty() == column.values.empty())
      reject(node.Mark(), fmt::format("column '{}' must have one of the keys 'text' and 'value'", column.title));
    const Keys formats = column_formats();
    if (std::find(formats.begin(), formats.end(), column.as) == formats.end())
      reject(node["as"].Mark(),
             fmt::format("column '{}': unknown way to write a value '{}'{}; allowed: {}", column.title, column.as,
                         did_you_mean(column.as, formats), fmt::join(formats, ", ")));
    return column;
  }

  SuitePairs pairs(const YAML::Node& node) const {
    static const Keys keys = {"value", "bits", "of"};
    check_keys(node, "'pairs'", keys);
    SuitePairs pairs;
    pairs.place = place(node.Mark());
    pairs.value = required_text(node, "value", "'pairs'");
    pairs.bits = optional_text(node, "bits");
    for (const YAML::Node& entry : list(node, "of")) {
      const Keys two = texts(entry, "of", "recipe");
      if (two.size() != 2) reject(entry.Mark(), fmt::format("each of 'of' is two recipes, found {}", two.size()));
      pairs.of.emplace_back(two[0], two[1]);
    }
    return pairs;
  }

  SuitePlot plot(const YAML::Node& node) const {
    static const Keys keys = {"name", "title", "text", "rows", "groups", "x", "y"};
    check_keys(node, "a plot", keys);
    SuitePlot plot;
    plot.place = place(node.Mark());
    plot.name = required_text(node, "name", "a plot");
    plot.title = required_text(node, "title", "a plot");
    plot.text = required_text(node, "text", "a plot");
    if (plot.name.find_first_of("/.") != plot.name.npos)
      reject(node["name"].Mark(), fmt::format("'{}' is no name of a plot: it becomes that of a file", plot.name));
    if (node["rows"].IsDefined()) plot.rows = texts(node["rows"], "rows", "recipe");
    if (node["groups"].IsDefined()) plot.groups = groups(node["groups"]);
    for (const char* key : {"x", "y"})
      if (!node[key].IsDefined()) reject(node.Mark(), fmt::format("plot '{}' lacks the key '{}'", plot.name, key));
    plot.x = axis(node["x"]);
    plot.y = axis(node["y"]);
    return plot;
  }

  std::vector<SuiteGroup> groups(const YAML::Node& node) const {
    if (!node.IsMap())
      reject(node.Mark(), fmt::format("'groups' must be a map of names to recipes, found {}", kind_of(node)));
    std::vector<SuiteGroup> result;
    for (const auto& entry : node)
      result.push_back({text(entry.first, "a name of 'groups'"), texts(entry.second, "groups", "recipe")});
    return result;
  }

  SuiteAxis axis(const YAML::Node& node) const {
    static const Keys keys = {"title", "value", "interval", "unit", "logarithmic"};
    check_keys(node, "an axis", keys);
    SuiteAxis axis;
    axis.place = place(node.Mark());
    axis.title = required_text(node, "title", "an axis");
    axis.value = required_text(node, "value", "an axis");
    axis.interval = optional_text(node, "interval");
    const std::string unit = optional_text(node, "unit", "1");
    axis.unit = parse_number<double>(unit).value_or(0);
    if (!(axis.unit > 0 && std::isfinite(axis.unit))) {
      reject(node["unit"].Mark(), fmt::format("'unit' is '{}'; allowed: a finite number above 0", unit));
    }
    const std::string logarithmic = optional_text(node, "logarithmic", "false");
    if (logarithmic != "true" && logarithmic != "false")
      reject(node["logarithmic"].Mark(), fmt::format("'logarithmic' is '{}'; allowed: true, false", logarithmic));
    axis.logarithmic = logarithmic == "true";
    return axis;
  }

  void check_unique(const YAML::Node& node, const std::string& what, const Keys& names) const {
    std::set<std::string> seen;
    for (const std::string& name : names)
      if (!seen.insert(name).second) reject(node.Mark(), fmt::format("two {} are called '{}'", what, name));
  }

  void check_names(const YAML::Node& root, const Suite& suite) const {
    Keys in_commands = names_of(suite), models, tables, recipes, plots;
    for (const SuiteEvaluation& evaluation : suite.evaluations) in_commands.push_back(evaluation.name);
    for (const SuiteModel& model : suite.models) models.push_back(model.name);
    for (const SuiteTable& table : suite.tables) tables.push_back(table.name);
    for (const SuiteRecipe& recipe : suite.recipes) recipes.push_back(recipe.label());
    for (const SuitePlot& plot : suite.plots) plots.push_back(plot.name);
    check_unique(root, "files, variables or evaluations", in_commands);
    check_unique(root["models"], "models", models);
    check_unique(root["recipes"], "recipes", recipes);
    if (suite.pairs) tables.emplace_back("pairs");
    check_unique(root["tables"], "tables", tables);
    check_unique(root["plots"], "plots", plots);
    for (const std::string& name : in_commands) {
      if (placeholders("{" + name + "}").empty() || name.find('.') != name.npos)
        reject(root.Mark(), fmt::format("'{}' is no name for commands: letters, digits, '_' and '-' only", name));
      if (std::count(reserved_names().begin(), reserved_names().end(), name) > 0)
        reject(root.Mark(), fmt::format("the name '{}' is taken: {} mean something of their own", name,
                                        fmt::join(reserved_names(), ", ")));
    }
  }
};

void apply(const std::string& setting, Suite& suite) {
  const size_t equals = setting.find('=');
  if (equals == setting.npos) misuse("--set '{}': must be NAME=VALUE", setting);
  const std::string name = setting.substr(0, equals);
  const Keys known = names_of(suite);
  if (std::find(known.begin(), known.end(), name) == known.end())
    misuse("--set {}: {} has no file or variable '{}'{}; {}", setting, suite.path, name, did_you_mean(name, known),
           there_are(known));
  std::vector<NamedTexts*> all = {&suite.files, &suite.variables};
  for (SuiteModel& model : suite.models) all.push_back(&model.set);
  for (NamedTexts* texts : all)
    for (auto& [key, value] : *texts)
      if (key == name) value = setting.substr(equals + 1);
}

}  // namespace

std::string SuiteRecipe::label() const {
  return format.empty() || name.find(format) != std::string::npos ? name : name + " " + format;
}

const std::string* value_for(const Suite& suite, const SuiteModel& model, const std::string& name) {
  for (const NamedTexts* texts : {&model.set, &suite.files, &suite.variables})
    for (const auto& [key, value] : *texts)
      if (key == name) return &value;
  return nullptr;
}

Suite parse_suite(const std::string& yaml, const std::string& path, const std::vector<std::string>& settings) {
  const Reader reader(path);
  Suite suite = reader.suite(reader.parse(yaml), path);
  for (const std::string& setting : settings) apply(setting, suite);
  return suite;
}

}  // namespace bitloom
