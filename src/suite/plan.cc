#include "suite/plan.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/install_paths.h"
#include "base/text/text.h"
#include "io/hash.h"
#include "model/checkpoint/checkpoint.h"
#include "recipe/recipe.h"
#include "suite/cell_words.h"
#include "suite/check_suite.h"
#include "suite/words.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

/// Calls `work`; its errors say where in the suite they come from.
template <typename Work>
auto placed(const std::string& place, const std::string& what, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}: {}", place, what, error.what()));
  }
}

class Planner {
 public:
  Planner(const Suite& suite, const CommandCheck& check) : suite_(suite), check_(check) {}

  Plan plan() {
    for (const SuiteModel& model : suite_.models) {
      const auto checkpoint =
          placed(suite_.path, fmt::format("model '{}'", model.name), [&] { return Checkpoint::open(model.path); });
      for (const SuiteRecipe& recipe : suite_.recipes) add_row(model, recipe, *checkpoint);
    }
    return std::move(plan_);
  }

 private:
  void add_row(const SuiteModel& model, const SuiteRecipe& recipe, const Checkpoint& checkpoint) {
    row_ = {model, recipe, {}};
    checkpoint_ = &checkpoint;
    if (!recipe.original()) add_quantization();
    for (const SuiteEvaluation& evaluation : suite_.evaluations) cell_of(evaluation);
    plan_.rows.push_back(std::move(row_));
  }

  void add_quantization() {
    const SuiteRecipe& recipe = row_.recipe;
    Cell cell;
    cell.evaluation = kQuantize;
    cell.place = recipe.place;
    placed(cell.place, fmt::format("recipe '{}'", recipe.name), [&] {
      const Recipe resolved = load_recipe(recipe.recipe);
      resolve(resolved, checkpoint_->graph());
      cell.recipe = to_json(resolved).at("steps");
      cell.words = {kQuantize, row_.model.path, "{out}", "--recipe", recipe.recipe};
      for (const std::string& flags : {suite_.quantize, recipe.flags})
        for (const std::string& word : split_words(flags)) cell.words.push_back(filled(word, cell));
      if (needs_of(resolved).any()) add_builtin_text(cell);
    });
    row_.cells[kQuantize] = add(std::move(cell));
  }

  /// What is calibrated on unless flags say otherwise; where it lies depends on the program's place.
  static void add_builtin_text(Cell& cell) {
    const std::vector<std::string> places = data_directories("assets/calibration");
    if (!places.empty()) cell.inputs["built-in text"] = places.front();
  }

  /// The row's cell of an evaluation, made where it is not there yet; nothing when the recipe skips it, or what it
  /// needs.
  std::optional<size_t> cell_of(const SuiteEvaluation& evaluation) {
    if (const auto known = row_.cells.find(evaluation.name); known != row_.cells.end()) return known->second;
    if (matches_any(evaluation.skip, row_.recipe)) return std::nullopt;
    Cell cell;
    cell.evaluation = evaluation.name;
    cell.place = evaluation.place;
    for (const std::string& name : placeholders(evaluation.run)) {
      const SuiteEvaluation* other = find_evaluation(suite_, name);
      if (other != nullptr && !cell_of(*other)) return std::nullopt;
    }
    placed(cell.place, fmt::format("evaluation '{}'", evaluation.name), [&] {
      for (const std::string& word : split_words(evaluation.run)) cell.words.push_back(filled(word, cell));
    });
    return row_.cells[evaluation.name] = add(std::move(cell));
  }

  std::string filled(const std::string& word, Cell& cell) {
    return fill(
        word, [&](const std::string& name) { return value_of(name, cell); }, names_in_commands(suite_));
  }

  std::optional<std::string> value_of(const std::string& name, Cell& cell) {
    if (name == "out") return "{out}";
    if (name == "source") return row_.model.path;
    if (name == "model") return row_.model.name;
    if (name == "recipe") return row_.recipe.name;
    if (name == "format") return row_.recipe.format;
    if (name == "quantized" && row_.recipe.original()) return row_.model.path;
    if (const std::string* value = value_for(suite_, row_.model, name)) return *value;
    const std::string maker = name == "quantized" ? kQuantize : name;
    const auto made = row_.cells.find(maker);
    if (made == row_.cells.end()) return std::nullopt;
    cell.needs.push_back(made->second);
    return cell_word(made->second);
  }

  /// The same command for the same purpose is one cell.
  size_t add(Cell cell) {
    const auto [place, is_new] = known_.emplace(std::pair(cell.evaluation, cell.words), plan_.cells.size());
    if (!is_new) return place->second;
    cell.label = fmt::format("{}/{}/{}", row_.model.name, row_.recipe.label(), cell.evaluation);
    placed(cell.place, fmt::format("'{}'", cell.evaluation), [&] { check_(with_outputs(cell.words, "out", "cell")); });
    add_inputs(cell);
    std::sort(cell.needs.begin(), cell.needs.end());
    cell.needs.erase(std::unique(cell.needs.begin(), cell.needs.end()), cell.needs.end());
    plan_.cells.push_back(std::move(cell));
    return place->second;
  }

  void add_inputs(Cell& cell) const {
    for (size_t i = 1; i < cell.words.size(); ++i) {
      const std::string& word = cell.words[i];
      if (word == row_.model.path)
        for (const std::string& file : checkpoint_->weight_files()) cell.inputs[file] = file;
      const size_t equals = word.starts_with("--") ? word.find('=') : word.npos;
      const std::string path = equals == word.npos ? word : word.substr(equals + 1);
      std::error_code none;
      if (!path.empty() && fs::exists(path, none)) cell.inputs[path] = path;
    }
  }

  const Suite& suite_;
  const CommandCheck& check_;
  Plan plan_;
  PlanRow row_;
  const Checkpoint* checkpoint_ = nullptr;
  std::map<std::pair<std::string, std::vector<std::string>>, size_t> known_;
};

}  // namespace

Plan make_plan(const Suite& suite, const CommandCheck& check) {
  check_suite(suite);
  return Planner(suite, check).plan();
}

void set_keys(Plan& plan, InputHashes& hashes, Progress& progress) {
  std::vector<std::string> keys;
  for (Cell& cell : plan.cells) {
    Json inputs = Json::object();
    for (const auto& [name, path] : cell.inputs) inputs[name] = hashes.of(path, progress);
    const Json identity = {
        {"words", with_cells(cell.words, [&](size_t other) { return "{cell:" + keys[other] + "}"; })},
        {"inputs", std::move(inputs)},
        {"recipe", cell.recipe}};
    cell.key = sha256_hex(identity.dump(-1, ' ', false, Json::error_handler_t::replace)).substr(0, 16);
    keys.push_back(cell.key);
  }
}

}  // namespace bitloom
