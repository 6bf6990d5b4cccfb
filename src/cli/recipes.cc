
#include "cli/common_flags.h"
#include "cli/verb.h"
#include "recipe/recipe.h"
#include "report/table.h"

namespace bitloom {
namespace {

void list(Session& session) {
  Table table({{"name", Align::kLeft}, {"description", Align::kLeft}});
  Json entries = Json::array();
  for (const RecipeEntry& entry : list_recipes()) {
    table.add({entry.name, entry.description});
    entries.push_back({{"name", entry.name}, {"path", entry.path}, {"description", entry.description}});
  }
  session.show(
      {{"recipes", entries}},
      table.to_text(session.bold()) +
          "\nAlso any FORMAT[-gN|-row|-tensor][-asym][-mse], as int4-g128; 'bitloom formats' lists formats.\n");
}

void print(const std::string& name, Session& session) {
  const Recipe recipe = load_recipe(name);
  session.show(to_json(recipe), to_yaml(recipe));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "print this recipe as YAML: one of the list, FORMAT[-gN]... or a YAML file");
  add_json_flag(app, session);
  return [name, &session] { name->empty() ? list(session) : print(*name, session); };
}

}  // namespace

Verb recipes_verb() {
  return {"recipes",
          "list recipes, or print one",
          "[NAME] [flags]",
          {"bitloom recipes", "bitloom recipes int4-g128 > my-recipe.yaml"},
          setup};
}

}  // namespace bitloom
