#pragma once
// A recipe is a value: ordered steps with targets. It names parts, never data or devices. A paper is a file in
// recipes/.
//
//   version: 1                       # of this format; default 1
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
// Later steps override earlier ones for the sites they match. A pattern is a glob ('*' and '?') for the whole of one of
// the names that a matrix goes by:
//   its tensor      "model.layers.3.mlp.down_proj.weight"
//   its role        "q", "k", "v", "qkv", "output", "gate", "up", "gate_up", "down";
//                   outside the blocks "embedding", "head", "project_in", "project_out"
//   what it reads   "attention" (q, k, v), "attention_output", "mlp" (gate, up), "mlp_down", fused or not
//   its place       "blocks.3.down", counted from the end "blocks.-1.down" (the last block)
// Matrices outside the blocks stay unless a step names them: a pattern that matches a site of the blocks is about the
// blocks only, so neither "*" nor "*.weight" reaches the embedding, while "embedding" and "*embed*" do. Of a model with
// a tied head, "embedding" and "head" both mean the one shared matrix, and a recipe that asks two different things of
// it is refused. A pattern that matches nothing is an error.
//
// Goals: a recipe says all that decides the result; it prints as it was read (parse_recipe(to_yaml(r)) == r, and a
// manifest's JSON can be read back as a recipe); a mistake is answered with its place and the nearest right spelling.
// Non-goals: expressions, conditions, includes: a recipe is data.

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
  std::vector<std::string> targets;  // empty: every linear site of the blocks
  bool operator==(const RecipeStep&) const = default;
};

struct Recipe {
  std::string name, description, source;
  std::vector<RecipeStep> steps;
  bool operator==(const Recipe&) const = default;
};

/// NAME of recipes/, path of a .yaml file, or SHORT ("int4-g128"). Error(kUsage) for an unknown key or name, with file,
/// line and the nearest spelling.
Recipe load_recipe(const std::string& text);
/// `origin` is the path, for messages; a recipe without a name takes the path's stem.
Recipe parse_recipe(const std::string& yaml, const std::string& origin);
std::string to_yaml(const Recipe& recipe);
Json to_json(const Recipe& recipe);

/// What each matrix gets. Keys are tensor names (of a tied head: the embedding's); absent: stays as it is.
/// Error(kUsage) for a pattern that matches nothing, naming it and some names it could have meant.
std::map<std::string, RecipeStep> resolve(const Recipe& recipe, const Graph& graph);

/// Recipes in the recipes/ folder that comes with bitloom.
struct RecipeEntry {
  std::string name, path, description;
};
std::vector<RecipeEntry> list_recipes();

/// Where recipes by name are looked for, first match wins: data_directories("recipes") of base/install_paths.h.
std::vector<std::string> recipe_directories();

}  // namespace bitloom
