#pragma once
// A recipe is a value: ordered steps with targets. It names parts, never data or devices. A paper is a file in recipes/.
//
//   name: int4-g128
//   description: one line
//   source: "Frantar et al., GPTQ, 2023"        # optional
//   steps:
//     - quantize: int4-g128          # a QuantSpec, see quant_spec.h
//       rounding: nearest            # default
//       targets: ["*"]               # patterns over site names; default: every linear site of the blocks
//     - keep: ["*.down_proj.weight"] # leave these as they are
//     - quantize: int8-row
//       targets: ["embedding", "head"]
//
// Later steps override earlier ones for the sites they match. A pattern is matched (glob, '*' and '?') against the
// tensor's name and against its role ("q", "k", "v", "qkv", "output", "gate", "up", "gate_up", "down", "embedding", "head").
// Embeddings and head stay unless a step names them. A pattern that matches nothing is an error.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/quant_spec.h"
#include "io/json.h"
#include "model/graph.h"

namespace bitloom {

struct RecipeStep {
  std::optional<QuantSpec> quantize;  // absent: keep as stored
  std::string rounding = "nearest";
  std::vector<std::string> targets;
};

struct Recipe {
  std::string name, description, source;
  std::vector<RecipeStep> steps;
};

/// NAME of recipes/, path of a .yaml file, or SHORT ("int4-g128"). Error(kUsage) for an unknown key or name, with file,
/// line and the nearest spelling.
Recipe load_recipe(const std::string& text);
Recipe parse_recipe(const std::string& yaml, const std::string& origin);
std::string to_yaml(const Recipe& recipe);
Json to_json(const Recipe& recipe);

/// What each matrix gets. Keys are tensor names; absent: stays as it is. Error(kUsage) for a pattern that matches nothing,
/// naming it and some names it could have meant.
std::map<std::string, RecipeStep> resolve(const Recipe& recipe, const Graph& graph);

/// Recipes in the recipes/ folder that comes with bitloom.
struct RecipeEntry {
  std::string name, path, description;
};
std::vector<RecipeEntry> list_recipes();

}  // namespace bitloom
