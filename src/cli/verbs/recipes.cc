#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text/text.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "recipe/parts.h"
#include "recipe/recipe.h"
#include "report/table.h"

namespace bitloom {
namespace {

std::string with_alias(const Option& option) {
  return option.alias.empty() ? std::string(option.name) : fmt::format("{}, {}", option.name, option.alias);
}

/// Every part and, indented, its options.
std::string parts_table(bool bold) {
  Table table({{"part", Align::kLeft}, {"what it does", Align::kLeft}, {"default", Align::kLeft}});
  for (const PartRow& row : part_rows()) {
    table.add({std::string(row.name), std::string(row.help), ""});
    for (const Option& option : row.options) {
      table.add({"  " + with_alias(option), fmt::format("{}: {}", option.help, allowed_values(option)),
                 value_text(option, option.get(row.defaults))});
    }
  }
  for (const PartAlias& alias : part_aliases()) table.add({std::string(alias.name), to_short(alias.part), ""});
  return table.to_text(bold);
}

Json parts_json() {
  Json parts = Json::array();
  for (const PartRow& row : part_rows()) {
    Json options = Json::array();
    for (const Option& option : row.options) {
      options.push_back({{"name", option.name},
                         {"help", option.help},
                         {"allowed", allowed_values(option)},
                         {"default", value_text(option, option.get(row.defaults))}});
    }
    parts.push_back({{"name", row.name},
                     {"kind", row.stage == PartStage::kRounding ? "rounding" : "transform"},
                     {"help", row.help},
                     {"options", std::move(options)}});
  }
  return parts;
}

constexpr const char* kGrammar = R"(
SHORT recipes: PART[:OPTION,...]+...+FORMAT, the format last. A flag or a choice stands alone, other options are
NAME=VALUE; a number alone is the part's first option. At most one rounding; without one, to nearest:
  int4-g128   gptq+int4-g128   gptq:act-order,damp=0.05+int3-g64   hadamard+gptq+mxfp4   smoothquant:0.6+int8-row
@FORMAT behind it rounds what the blocks' layers read, too: int8-row@int8-token, mxfp4@mxfp4, e4m3fn-row@e4m3fn-tensor-mse.
Behind the format, head:FORMAT and embedding:FORMAT quantize these, which otherwise stay: gptq+int4-g64+head:int8-row.
A recipe file may declare options (docs/recipes.md); NAME:OPTION=VALUE,... sets them.
FORMAT is NAME[-gN|-row|-tensor][-asym][-mse]...; 'bitloom formats' lists names. Parts:

)";

void list(Session& session) {
  Table table({{"name", Align::kLeft}, {"description", Align::kLeft}});
  Json entries = Json::array();
  for (const RecipeEntry& entry : list_recipes()) {
    table.add({entry.name, entry.description});
    entries.push_back({{"name", entry.name}, {"path", entry.path}, {"description", entry.description}});
  }
  session.show({{"recipes", entries}, {"parts", parts_json()}},
               table.to_text(session.bold()) + kGrammar + parts_table(session.bold()));
}

std::string needs_text(const Needs& needs) {
  std::vector<std::string> of;
  if (needs.second_moment) of.emplace_back("second moments");
  if (needs.cross_moment) of.emplace_back("moments with the float model's");
  if (needs.range) of.emplace_back("ranges");
  if (needs.mean) of.emplace_back("means");
  if (needs.histogram) of.emplace_back("histograms");
  if (needs.sample > 0) of.push_back(fmt::format("{} tokens", needs.sample));
  if (!needs.any()) return "no data";
  std::vector<std::string> parts;
  if (!of.empty()) parts.push_back(fmt::format("{} of every layer's inputs", fmt::join(of, ", ")));
  if (needs_gradients(needs)) parts.emplace_back("gradients of every layer's outputs");
  if (needs.block_outputs) parts.emplace_back("the float blocks' outputs");
  if (needs.sequences) parts.emplace_back("the original's logits");
  return fmt::format("calibration text: {}", fmt::join(parts, ", and "));
}

/// Bits per weight that files hold at most.
double stored_bits(const Storage& storage, int64_t rows, int64_t cols) {
  int64_t bytes = 0;
  for (const TensorPart& part : greatest_parts(storage, rows, cols)) bytes += bytes_of(part);
  return 8 * static_cast<double>(bytes) / (static_cast<double>(rows) * static_cast<double>(cols));
}

std::string bits_text(bool fixed, double nominal, double stored, const std::string& of) {
  const std::string file = fixed ? fmt::format("{:.3f} stored", stored) : "stored as each matrix needs";
  return fmt::format("{:.3f} bits nominal, {}, {}", nominal, file, of);
}

/// Of the blocks' matrices that the recipe quantizes.
std::string bits_of_model(const Recipe& recipe, const std::string& path) {
  const auto model = Checkpoint::open(path);
  const auto steps = resolve(recipe, model->graph());
  double weights = 0, nominal = 0, stored = 0;
  bool fixed = true;
  for (const Site& site : linear_sites(model->graph())) {
    const auto step = steps.find(site.linear->weight);
    if (step == steps.end() || !step->second.quantize) continue;
    const RowSourcePtr w = model->matrix(*site.linear);
    const double count = static_cast<double>(w->rows()) * static_cast<double>(w->cols());
    const Storage own = step->second.storage();
    weights += count;
    nominal += count * nominal_bits(own, w->rows(), w->cols());
    stored += count * stored_bits(own, w->rows(), w->cols());
    fixed = fixed && has_fixed_sizes(own);
  }
  if (weights == 0) return "no matrix of the blocks is quantized";
  return bits_text(fixed, nominal / weights, stored / weights, fmt::format("in the blocks of {}", path));
}

/// Comments at the head of a file of the list: what was measured with it.
std::string head_comments(const std::string& name) {
  const std::vector<RecipeEntry> entries = list_recipes();
  const auto entry = std::find_if(entries.begin(), entries.end(), [&](const RecipeEntry& candidate) {
    return candidate.name == name.substr(0, name.find(':'));
  });
  if (entry == entries.end()) return "";
  std::string text;
  for (const std::string& line : split(read_text(entry->path), '\n')) {
    if (!line.starts_with('#')) break;
    text += line + "\n";
  }
  return text;
}

/// What it is, whose, of how many bits and what it takes, as comments of YAML.
std::string explanation(const Recipe& recipe, const std::string& model) {
  std::string text = fmt::format("# {}\n", recipe.description);
  if (!recipe.source.empty()) text += fmt::format("# source: {}\n", recipe.source);
  text += fmt::format("# needs {}\n", needs_text(needs_of(recipe)));
  constexpr int64_t kSide = 4096;
  for (const RecipeStep& step : recipe.steps) {
    if (step.attention) {
      text += fmt::format("# {}: rounded to {} as they are multiplied\n", fmt::join(step.targets, ", "),
                          to_string(*step.attention));
    }
    if (!step.quantize) continue;
    const Storage storage = step.storage();
    text += fmt::format(
        "# {}: {}, {}\n", step.targets.empty() ? "blocks" : fmt::format("{}", fmt::join(step.targets, ", ")),
        row_of(part_of(step.rounding)).words,
        bits_text(has_fixed_sizes(storage), nominal_bits(storage, kSide, kSide), stored_bits(storage, kSide, kSide),
                  fmt::format("with {} x {} weights", kSide, kSide)));
  }
  if (!model.empty()) text += fmt::format("# {}\n", bits_of_model(recipe, model));
  return text;
}

void print(const std::string& name, const std::string& model, Session& session) {
  const Recipe recipe = load_recipe(name);
  session.show(to_json(recipe), explanation(recipe, model) + head_comments(name) + to_yaml(recipe));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto name = std::make_shared<std::string>(), model = std::make_shared<std::string>();
  app.add_option("NAME", *name,
                 "explain this recipe and print it as YAML: one of the list, SHORT (as gptq+int4-g128) or a YAML file");
  app.add_option("-m,--model", *model, "say how many bits the blocks of this model come to");
  add_json_flag(app, session);
  return [name, model, &session] { name->empty() ? list(session) : print(*name, *model, session); };
}

}  // namespace

Verb recipes_verb() {
  return {"recipes",
          "list recipes, or explain one",
          "[NAME] [flags]",
          {"bitloom recipes", "bitloom recipes gptq:act-order+int4-g128 > my-recipe.yaml"},
          setup};
}

}  // namespace bitloom
