#pragma once
// A suite is a value: models x recipes x evaluations, and the tables that show what came out.
//
//   version: 1                        # of this format; default 1
//   name: example                     # default: the file's stem
//   title: one line                   # optional
//   files: {text: data/wiki.txt}      # inputs that must exist, by name
//   variables: {windows: 10}          # texts by name; both kinds stand in commands as {text}, {windows}
//   formats: [int4-g64, int3-g64]     # optional: a recipe with {format} is meant once for each
//   models:
//     - models/small                  # a path, or
//     - {name: Small, path: models/small, set: {text: data/other.txt}}   # files and variables of its own
//   quantize: --samples 32            # flags of every quantization; optional
//   recipes:
//     - original                      # the model as it is
//     - int8-row                      # anything that `bitloom quantize --recipe` takes, or
//     - {name: gptq, recipe: "gptq+{format}", quantize: --seed 1}   # with flags of its own besides
//   evaluations:                      # any verb's command line; its --json object is the result
//     - {name: reference, run: "eval kl {source} --save-ref {out} --text {text}"}
//     - name: kl
//       run: eval kl {quantized} --ref {reference} --text {text}
//       skip: [original]              # recipes (globs, as in rows) that it is not made for
//   tables:
//     - rows: ["gptq *"]              # recipes (globs over "NAME" and "NAME FORMAT"); default: all
//       name: short                   # only needed when there are several tables
//       caption: "{kl.tokens} tokens of {text}"       # optional; {EVALUATION.KEY} of the first row that has it
//       columns:
//         - {title: format, text: "{recipe}"}         # of {model}, {recipe}, {format}, {steps}
//         - {title: bits of blocks, value: quantize.bits_true, as: bits}
//         - {title: bits of model, value: quantize.bits_model, as: bits}
//         - {title: KL, value: kl.kl_mean, interval: kl.kl_ci95}
//         - {title: perplexity, value: [kl.ppl, ppl.ppl], as: perplexity}  # the first that this row has
//   pairs:                            # optional: a table called "pairs": is one recipe better than another?
//     value: kl.kl_windows            # a list of means, of each recipe over the same windows; less is better
//     bits: quantize.bits_true        # shown beside it; optional
//     of: [["gptq int3-g64", "nearest int3-g64"]]    # the mean of first - second, with its paired 95 % interval
//   plots:                            # optional: points of rows, one a recipe
//     - name: small                   # of its file, small.svg
//       title: KL over true bits      # the same over the picture
//       text: one or two sentences    # on what it shows, for readers that do not see it
//       rows: ["gptq *"]              # as in tables
//       groups: {"error feedback": ["gptq *"]}   # optional: names of the legend and their recipes, first match wins
//       x: {title: true bits of the blocks, value: quantize.bits_true}
//       y: {title: "KL, nats", value: kl.kl_mean, interval: kl.kl_ci95, logarithmic: true}
//
// In commands, {source} is the model's path, {quantized} the directory that the recipe made of it, {out} a file or
// directory that the command makes, and the name of another evaluation what that one made as its {out}; {model},
// {recipe} and {format} are names (in tables {steps} is what --recipe takes). An evaluation is made once for everything
// that its command does not depend on.
//
// Goals: a new verb is a new evaluation without code; nothing is run before all of it was checked; what was finished is
// not run again unless its inputs changed; a run that is killed goes on where it was. Non-goals: running several
// commands at once (each uses all threads), conditions, loops.

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitloom {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

struct SuiteModel {
  std::string name, path;
  NamedTexts set;  // instead of the suite's files and variables of these names
};

/// One recipe of one format: `{format}` is filled in.
struct SuiteRecipe {
  std::string name, recipe, format, flags;
  std::string place;  // "FILE:LINE:COLUMN", for messages
  bool original() const { return recipe == "original"; }
  /// The name, and the format where the name does not tell it: "gptq int4-g64".
  std::string label() const;
};

struct SuiteEvaluation {
  std::string name, run, place;
  std::vector<std::string> skip;
};

struct SuiteColumn {
  std::string title, place;
  std::string text;                 // with placeholders; or
  std::vector<std::string> values;  // "EVALUATION.KEY", the first one whose evaluation the row has
  std::string interval;             // "EVALUATION.KEY" of [low, high]
  std::string as;                   // how values are written, see column_formats()
};

struct SuiteTable {
  std::string name, caption, place;
  std::vector<std::string> rows;
  std::vector<SuiteColumn> columns;
};

/// One coordinate of a point.
struct SuiteAxis {
  std::string title, place;
  std::string value, interval;  // "EVALUATION.KEY", the interval's of [low, high] or ""
  double unit = 1;  // of the value and the interval, shown divided by it
  bool logarithmic = false;
};

/// Recipes that share a colour and a marker.
struct SuiteGroup {
  std::string name;
  std::vector<std::string> rows;
};

struct SuitePlot {
  std::string name, title, text, place;
  std::vector<std::string> rows;
  std::vector<SuiteGroup> groups;
  SuiteAxis x, y;
};

/// Recipes of one model that are compared window by window.
struct SuitePairs {
  std::string place;
  std::string value, bits;                              // "EVALUATION.KEY"; bits: "" for none
  std::vector<std::pair<std::string, std::string>> of;  // labels
};

struct Suite {
  std::string name, title, path, quantize;
  NamedTexts files, variables;
  std::vector<SuiteModel> models;
  std::vector<SuiteRecipe> recipes;
  std::vector<SuiteEvaluation> evaluations;
  std::vector<SuiteTable> tables;
  std::optional<SuitePairs> pairs;
  std::vector<SuitePlot> plots;
};

/// What the file or variable `name` is for `model`: its own, else the suite's; null where there is none of that name.
const std::string* value_for(const Suite& suite, const SuiteModel& model, const std::string& name);

/// `settings` are NAME=VALUE and replace files and variables of that name, those of models too. Error(kUsage) with file
/// and place for anything that the format above does not allow, and for a setting that names no file or variable.
Suite parse_suite(const std::string& yaml, const std::string& path, const std::vector<std::string>& settings = {});

/// Name of the evaluation that `quantize` and `recipes` amount to.
inline constexpr const char* kQuantize = "quantize";

}  // namespace bitloom
