#include <yaml-cpp/yaml.h>

#include "recipe/recipe.h"

namespace bitloom {
namespace {

void print_targets(YAML::Emitter& out, const char* key, const std::vector<std::string>& targets) {
  out << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
  for (const std::string& target : targets) out << YAML::DoubleQuoted << target;
  out << YAML::EndSeq;
}

void print_step(YAML::Emitter& out, const RecipeStep& step) {
  out << YAML::BeginMap;
  if (!step.quantize) {
    print_targets(out, "keep", step.targets);
  } else {
    out << YAML::Key << "quantize" << YAML::Value << to_string(*step.quantize);
    out << YAML::Key << "rounding" << YAML::Value << step.rounding;
    if (!step.targets.empty()) print_targets(out, "targets", step.targets);
  }
  out << YAML::EndMap;
}

void print_text(YAML::Emitter& out, const char* key, const std::string& text) {
  if (!text.empty()) out << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << text;
}

Json step_json(const RecipeStep& step) {
  if (!step.quantize) return Json{{"keep", step.targets}};
  Json result = {{"quantize", to_string(*step.quantize)}, {"rounding", step.rounding}};
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
