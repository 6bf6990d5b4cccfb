#include <yaml-cpp/yaml.h>

#include "recipe/parts.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

void print_targets(YAML::Emitter& out, const char* key, const std::vector<std::string>& targets) {
  out << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const std::string& target : targets) out << YAML::DoubleQuoted << target;
  out << YAML::EndSeq;
}

/// NAME, or {NAME: {OPTION: VALUE, ...}} with the options that are not as usual.
void print_part(YAML::Emitter& out, const char* key, const Part& part) {
  const std::string name(row_of(part).name);
  out << YAML::Key << key << YAML::Value;
  const auto changed = changed_options(part);
  if (changed.empty()) {
    out << name;
    return;
  }
  out << YAML::Flow << YAML::BeginMap << YAML::Key << name << YAML::Value << YAML::Flow << YAML::BeginMap;
  for (const auto& [option, value] : changed) {
    out << YAML::Key << std::string(option->name) << YAML::Value << value_text(*option, value);
  }
  out << YAML::EndMap << YAML::EndMap;
}

void print_step(YAML::Emitter& out, const RecipeStep& step) {
  out << YAML::BeginMap;
  if (step.keeps()) {
    print_targets(out, "keep", step.targets);
  } else {
    if (step.transform) print_part(out, "transform", part_of(*step.transform));
    if (step.quantize) {
      out << YAML::Key << "quantize" << YAML::Value << to_string(*step.quantize);
      print_part(out, "rounding", part_of(step.rounding));
      if (step.activations) out << YAML::Key << "activations" << YAML::Value << to_string(*step.activations);
    }
    if (step.attention) out << YAML::Key << "attention" << YAML::Value << to_string(*step.attention);
    if (!step.targets.empty()) print_targets(out, "targets", step.targets);
  }
  out << YAML::EndMap;
}

void print_text(YAML::Emitter& out, const char* key, const std::string& text) {
  if (!text.empty()) out << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << text;
}

Json value_json(const Option& option, double value) {
  if (option.kind == OptionKind::kNumber) return value;
  if (option.kind == OptionKind::kInteger) return static_cast<int64_t>(value);
  if (option.kind == OptionKind::kFlag) return value != 0;
  return value_text(option, value);
}

Json part_json(const Part& part) {
  const std::string name(row_of(part).name);
  Json options = Json::object();
  for (const auto& [option, value] : changed_options(part))
    options[std::string(option->name)] = value_json(*option, value);
  return options.empty() ? Json(name) : Json{{name, std::move(options)}};
}

Json step_json(const RecipeStep& step) {
  if (step.keeps()) return Json{{"keep", step.targets}};
  Json result = Json::object();
  if (step.transform) result["transform"] = part_json(part_of(*step.transform));
  if (step.quantize) {
    result["quantize"] = to_string(*step.quantize);
    result["rounding"] = part_json(part_of(step.rounding));
    if (step.activations) result["activations"] = to_string(*step.activations);
  }
  if (step.attention) result["attention"] = to_string(*step.attention);
  if (!step.targets.empty()) result["targets"] = step.targets;
  return result;
}

}  // namespace

std::string to_yaml(const Recipe& recipe) {
  YAML::Emitter out;
  out << YAML::BeginMap << YAML::Key << "version" << YAML::Value << 1;
  out << YAML::Key << "name" << YAML::Value << YAML::DoubleQuoted << recipe.name;
  print_text(out, "description", recipe.description);
  print_text(out, "source", recipe.source);
  out << YAML::Key << "steps" << YAML::Value << YAML::BeginSeq;
  for (const RecipeStep& step : recipe.steps) print_step(out, step);
  out << YAML::EndSeq << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

Json to_json(const Recipe& recipe) {
  Json steps = Json::array();
  for (const RecipeStep& step : recipe.steps) steps.push_back(step_json(step));
  Json result = {{"version", 1}, {"name", recipe.name}, {"steps", std::move(steps)}};
  if (!recipe.description.empty()) result["description"] = recipe.description;
  if (!recipe.source.empty()) result["source"] = recipe.source;
  return result;
}

}  // namespace bitloom
