#pragma once
// A suite as cells: every command that it amounts to, each once, with what it needs.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/progress.h"
#include "io/json.h"
#include "suite/input_hashes.h"
#include "suite/suite.h"

namespace bitloom {

/// One command to run.
struct Cell {
  std::string evaluation;  // "kl", or kQuantize
  std::string label;       // "SmolLM2/gptq+int4-g64/kl": the first row that needs it
  std::vector<std::string>
      words;                  // "eval kl {cell:5} --ref {cell:2} -c 512": {cell:N} is what cell N made, {out} its own
  std::vector<size_t> needs;  // cells whose {out} it reads, all before this one
  std::string place;          // in the suite's file, for messages
  std::map<std::string, std::string> inputs;  // files and directories that it reads: name, path
  Json recipe;                                // of a quantization: its steps, resolved
  std::string key;  // hash of words, recipe, the contents of inputs and the keys of what it needs
};

/// A model by a recipe, and the cells of its evaluations; those that it skips are absent.
struct PlanRow {
  SuiteModel model;
  SuiteRecipe recipe;
  std::map<std::string, size_t> cells;
};

struct Plan {
  std::vector<Cell> cells;  // what a cell needs stands before it
  std::vector<PlanRow> rows;
};

/// Everything is checked before anything is run: references, recipes against models, files, captions and columns.
/// Error(kUsage or kRefused) naming the suite's file and place: a cycle of evaluations with its members, an unknown
/// recipe, placeholder, evaluation or model. `check` is called with every command, whose outputs have made-up names.
using CommandCheck = std::function<void(const std::vector<std::string>& words)>;
Plan make_plan(const Suite& suite, const CommandCheck& check);

/// Fills in Cell::key. Inputs are the words of a command that are names of existing files or directories, the weight
/// files of models, and the built-in calibration text.
void set_keys(Plan& plan, InputHashes& hashes, Progress& progress);

}  // namespace bitloom
