#include <fmt/format.h>

#include "cli/flags/common_flags.h"
#include "cli/verb.h"
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

void print(const std::string& name, Session& session) {
  const Recipe recipe = load_recipe(name);
  session.show(to_json(recipe), to_yaml(recipe));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "print this recipe as YAML: one of the list, SHORT (as gptq+int4-g128) or a YAML file");
  add_json_flag(app, session);
  return [name, &session] { name->empty() ? list(session) : print(*name, session); };
}

}  // namespace

Verb recipes_verb() {
  return {"recipes",
          "list recipes, or print one",
          "[NAME] [flags]",
          {"bitloom recipes", "bitloom recipes gptq:act-order+int4-g128 > my-recipe.yaml"},
          setup};
}

}  // namespace bitloom
