#pragma once
// A recipe is a value: ordered steps with targets. It names parts, never data or devices. A paper is a file in
// recipes/.
//
//   version: 1                       # of this format; default 1
//   name: example
//   description: one line
//   source: "Frantar et al., GPTQ, 2023"        # optional
//   steps:
//     - transform: hadamard          # a rewrite made before rounding, or a correction made afterwards; see parts.h
//     - transform: {smoothquant: {alpha: 0.6}}  # the same with options
//       targets: ["mlp"]             # sites it is for; default: every linear site of the blocks
//     - quantize: int4-g128          # a RoundingTarget, see round/target.h
//       rounding: {gptq: {order: act-order}}    # or a name alone; default: nearest
//       targets: ["*"]               # patterns over site names; default: every linear site of the blocks
//       activations: int8-token    # what these matrices read is rounded to it, by scales found as it is read or
//                                  # beforehand; an ActivationFormat, see format/activations/activation_format.h;
//                                  default: it is # read as it is
//     - attention: int4-asym-token    # what attention multiplies is rounded to it, too; a row is a head's channels of
//       targets: ["keys", "values"]    # a token; patterns over "queries", "keys", "probabilities", "values" and places
//                                      # such as "blocks.3.keys"
//     - transform: none              # no step at all, as quantize: none and attention: none: for options of a file
//     - keep: ["*.down_proj.weight"] # leave these as they are
//     - quantize: int8-row
//       targets: ["embedding", "head"]
//
// A file may declare options, which NAME:OPTION=VALUE,... sets (recipe/file_options.h).
//
// SHORT says the common ones in a word: parts joined by '+', the format last, with '@' and the format of what is read
// where that is rounded, too; behind it only what the head and the embedding become, which otherwise stay, and what
// attention's operands are rounded to ("kv": keys and values). Options
// follow ':', separated by ','. Side terms (format/side/side_terms.h) belong to the format before them. A flag or a
// choice may stand alone, and so may a number for the part's first option:
//   int4-g128   gptq+int3-g64   gptq:act-order,damp=0.05+int4-g128   hadamard+gptq+int4-row   smoothquant:0.6+int8-row
//   gptaq+int2-g32   hadamard:heads=false+awq:steps=10+gptq+nf4-g64   bias-correction+adaround+int3-g64
//   gptq+int4-g64+head:int8-row   int4-g128+embedding:int8-row+head:int6-g64   gptq+int4-g128@int8-token
//   viterbi+trellis2+frame-in512-out512   gptq+int4-row@int8-token+kv:int4-asym-token+queries:int8-token
//
// Later steps that quantize or keep override earlier ones for the sites they match; transforms add up, in their order.
// A pattern is a glob ('*' and '?') for the whole of one of the names that a matrix goes by:
//   its tensor      "model.layers.3.mlp.down_proj.weight"
//   its role        "q", "k", "v", "qkv", "output", "gate", "up", "gate_up", "down";
//                   outside the blocks "embedding", "head", "project_in", "project_out"
//   what it reads   "attention" (q, k, v), "attention_output", "mlp" (gate, up), "mlp_down", fused or not
//   its place       "blocks.3.down", counted from the end "blocks.-1.down" (the last block)
// Matrices outside the blocks stay unless a step names them, or "hadamard" rotates them (its option "outer"): a pattern
// that matches a site of the blocks is about the blocks only, so neither "*" nor "*.weight" reaches the embedding,
// while "embedding" and "*embed*" do. Of a model with a tied head, "embedding" and "head" both mean the one shared
// matrix, and a recipe that asks two different things of it is refused. A pattern that matches nothing is an error.
//
// Goals: a recipe says all that decides the result; it prints as it was read (parse_recipe(to_yaml(r)) == r, and a
// manifest's JSON can be read back as a recipe); a mistake is answered with its place and the nearest right spelling.
// Non-goals: expressions, conditions, includes: a recipe is data.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/activations/activation_format.h"
#include "io/json.h"
#include "model/graph.h"
#include "observe/needs.h"
#include "round/rounding.h"
#include "round/target.h"
#include "transform/transform.h"

namespace bitloom {

/// What is done when the user names no recipe.
inline constexpr const char* kDefaultRecipe = "gptaq+iq4nl-g128-mse";

/// Exactly one of quantize, attention, keep (none is set) and transform.
struct RecipeStep {
  std::optional<RoundingTarget> quantize;
  Rounding rounding;                            // of quantize
  std::optional<ActivationFormat> activations;  // of what the matrices read; of quantize
  std::vector<std::string> targets;             // empty: every linear site of the blocks
  std::optional<Transform> transform;
  std::optional<ActivationFormat> attention;  // of the operands that `targets` name

  /// What the matrices are stored as; of a step that quantizes.
  Storage storage() const { return storage_by(rounding, quantize->storage); }
  bool keeps() const { return !quantize && !transform && !attention; }
  bool operator==(const RecipeStep&) const = default;
};

struct Recipe {
  std::string name, description, source;
  std::vector<RecipeStep> steps;
  bool operator==(const Recipe&) const = default;
};

/// The recipe's transform of one kind; null: it has none.
template <typename T>
const T* find_transform(const Recipe& recipe) {
  for (const RecipeStep& step : recipe.steps) {
    if (const T* found = step.transform ? std::get_if<T>(&*step.transform) : nullptr) return found;
  }
  return nullptr;
}

/// NAME of recipes/ or the path of a .yaml file, either with ":OPTION=VALUE,..." where the file declares options; or
/// SHORT. Error(kUsage) for an unknown key or name, with file, line and the
/// nearest spelling, and for what check() refuses.
Recipe load_recipe(const std::string& text);
/// `origin` is the path, for messages; a recipe without a name takes the path's stem. `options`: "OPTION=VALUE,...", as
/// recipe/file_options.h says; those that differ from the defaults are added to the name. The recipe that comes of it
/// has none.
Recipe parse_recipe(const std::string& yaml, const std::string& origin, const std::string& options = "");
std::string to_yaml(const Recipe& recipe);
Json to_json(const Recipe& recipe);

/// SHORT alone. The recipe's name is its canonical short form, its description says it in words.
Recipe parse_short(std::string_view text);
/// Canonical: options in a fixed order, none that has its default. parse_short(*to_short(r)) has the steps of r.
/// nullopt for a recipe that no short form expresses: targets, keep, more than one quantize step, or one that another
/// than those of head, embedding and attention follows.
std::optional<std::string> to_short(const Recipe& recipe);
/// Of a step that quantizes: "gptq+int4-g128@int8-token", of nearest rounding the format alone.
std::string to_short(const RecipeStep& step);
/// "nearest", "gptq:damping=0.05", "smoothquant:0.75".
std::string to_short(const Rounding& rounding);
std::string to_short(const Transform& transform);

/// Whether the steps make sense together, whatever the model. Error(kUsage) naming recipe, step and reason: a rounding
/// on something that is not quantized, targets of a transform of the whole model, option values out of range, two
/// channel scalings (or twice the same transform) of one site, a data-free rewrite after a scaling by data, a transform
/// that needs a format in a recipe that quantizes nothing, or rounded inputs in one that rounds none. parse_recipe,
/// parse_short and resolve check by themselves.
void check(const Recipe& recipe);

/// What a recipe wants to know of any input: whether it needs calibration data at all.
Needs needs_of(const Recipe& recipe);

/// What each matrix gets: its quantize step. Keys are tensor names (of a tied head: the embedding's); absent: stays as
/// it is. Error(kUsage) for a pattern that matches nothing, naming it and some names it could have meant, and for a
/// rounding by data of an embedding that is not also the head: it reads ids, no activations.
std::map<std::string, RecipeStep> resolve(const Recipe& recipe, const Graph& graph);

/// Matrices that a step keeps in so many words, by tensor name. Errors as resolve().
std::set<std::string> resolve_kept(const Recipe& recipe, const Graph& graph);

/// Formats of inputs, by block and index into Block::inputs.
using InputFormats = std::map<std::pair<int, int>, ActivationFormat>;
/// What the inputs of the blocks are rounded to, given `steps` of resolve(); the graph's own formats where no step says
/// anything. An input has one format for all that read it: Error(kUsage) naming two matrices of which only one wants
/// it, or a matrix outside the blocks. (A router reads what the experts read.)
InputFormats resolve_activations(const Recipe& recipe, const std::map<std::string, RecipeStep>& steps,
                                 const Graph& graph);

/// Formats of what attention multiplies, by block.
using OperandFormats = std::map<std::pair<int, Operand>, ActivationFormat>;
/// What the operands of the blocks' attention are rounded to; the graph's own formats where no step says anything.
/// Error(kUsage) for a pattern that matches none, and for what bad_operand_format() finds.
OperandFormats resolve_operands(const Recipe& recipe, const Graph& graph);

/// A transform step and the linear sites of the blocks that it is for, kept ones included.
struct TransformSites {
  size_t step = 0;  // in the recipe
  Transform transform;
  std::set<std::string> tensors;
};
/// In the order of the steps. Error(kUsage) for a pattern that matches no site of the blocks, and for a site with two
/// channel scalings or the same transform twice.
std::vector<TransformSites> resolve_transforms(const Recipe& recipe, const Graph& graph);

/// Recipes in the recipes/ folder that comes with bitloom.
struct RecipeEntry {
  std::string name, path, description;
};
std::vector<RecipeEntry> list_recipes();

/// Where recipes by name are looked for, first match wins: data_directories("recipes") of base/install_paths.h.
std::vector<std::string> recipe_directories();

}  // namespace bitloom
