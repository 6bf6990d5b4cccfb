#include <gmock/gmock.h>

#include "suite/suite.h"
#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(ParseSuite, EverythingHasItsPlace) {
  const Suite suite = small_suite();
  EXPECT_EQ(suite.name, "small") << "the file's stem";
  EXPECT_EQ(suite.title, "Two recipes");
  EXPECT_THAT(suite.files, ElementsAre(Pair("text", "assets/demo/evaluation.txt")));
  ASSERT_EQ(suite.recipes.size(), 3u);
  EXPECT_TRUE(suite.recipes[0].original());
  EXPECT_EQ(suite.recipes[1].name, "int8-row");
  EXPECT_EQ(suite.recipes[2].name, "four");
  EXPECT_EQ(suite.recipes[2].recipe, "int4-g32");
  EXPECT_EQ(suite.evaluations[1].place, "suites/small.yaml:9:5");
  EXPECT_THAT(suite.evaluations[1].skip, ElementsAre("original"));
  EXPECT_THAT(suite.tables[0].columns[3].values, ElementsAre("kl.ppl", "ppl.ppl"));
  EXPECT_EQ(suite.tables[0].columns[2].interval, "kl.kl_ci95");
}

// Formats outside, recipes inside; what has no format stands once.
TEST(ParseSuite, FormatsMultiplyRecipes) {
  const std::string yaml = edited(kSmallSuite, "recipes: [original, int8-row, {name: four, recipe: int4-g32}]",
                                  "formats: [int4-g64, int3-g64]\n"
                                  "recipes: [original, '{format}', {name: gptq, recipe: 'gptq+{format}'}]");
  std::vector<std::string> recipes, labels;
  for (const SuiteRecipe& recipe : parse_suite(yaml, "x.yaml").recipes) {
    recipes.push_back(recipe.recipe);
    labels.push_back(recipe.label());
  }
  EXPECT_THAT(recipes, ElementsAre("original", "int4-g64", "gptq+int4-g64", "int3-g64", "gptq+int3-g64"));
  EXPECT_THAT(labels, ElementsAre("original", "int4-g64", "gptq int4-g64", "int3-g64", "gptq int3-g64"));
}

TEST(ParseSuite, ModelsAreNamedByTheirPaths) {
  const std::string yaml =
      edited(kSmallSuite, "[{name: demo, path: assets/demo}]", "[a/b.gguf, models/Qwen2.5/, {path: x/Y.0.1}]");
  std::vector<std::string> names;
  for (const SuiteModel& model : parse_suite(yaml, "x.yaml").models) names.push_back(model.name);
  EXPECT_THAT(names, ElementsAre("b", "Qwen2.5", "Y.0.1"));
}

TEST(ParseSuite, SettingsReplaceFilesAndVariables) {
  const Suite suite = parse_suite(kSmallSuite, "x.yaml", {"windows=7", "text=other=1.txt"});
  EXPECT_THAT(suite.variables, ElementsAre(Pair("windows", "7")));
  EXPECT_THAT(suite.files, ElementsAre(Pair("text", "other=1.txt")));
  EXPECT_THAT(refusal([] { parse_suite(kSmallSuite, "x.yaml", {"window=7"}); }),
              HasSubstr("has no file or variable 'window' (did you mean 'windows'?)"));
  EXPECT_THAT(refusal([] { parse_suite(kSmallSuite, "x.yaml", {"windows"}); }), HasSubstr("must be NAME=VALUE"));
}

struct Mistake {
  std::string from, to;
  std::vector<std::string> parts;
};

class BadSuite : public ::testing::TestWithParam<Mistake> {};

TEST_P(BadSuite, IsRefusedWithItsPlace) {
  const Mistake& mistake = GetParam();
  const std::string message =
      refusal([&] { parse_suite(edited(kSmallSuite, mistake.from, mistake.to), "suites/small.yaml"); });
  EXPECT_THAT(message, HasSubstr("suites/small.yaml:"));
  for (const std::string& part : mistake.parts) EXPECT_THAT(message, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, BadSuite,
    ::testing::Values(
        Mistake{"evaluations:", "evaluation:", {":7:1", "unknown key 'evaluation'", "did you mean 'evaluations'?"}},
        Mistake{"title: Two recipes", "version: 2", {"version '2'", "reads version 1"}},
        Mistake{"models: [{name: demo, path: assets/demo}]", "models: []", {":5:9", "'models' must be a list of 1"}},
        Mistake{"models: [{name: demo, path: assets/demo}]", "", {"the key 'models' is missing"}},
        Mistake{"path: assets/demo", "name2: x", {"unknown key 'name2'", "name, path"}},
        Mistake{"name: demo, path: assets/demo",
                "name: demo, path: assets/demo, set: {window: 3}",
                {":5:", "'set' of model 'demo'", "'window'", "did you mean 'windows'?", "text, windows"}},
        Mistake{"name: demo, path: assets/demo", "name: demo, path: a, set: [3]", {"'set' must be a map", "a list"}},
        Mistake{"name: demo, path: assets/demo", "name: demo", {"a model lacks the key 'path'"}},
        Mistake{"variables: {windows: 2}", "variables: [windows]", {"'variables' must be a map", "found a list"}},
        Mistake{"variables: {windows: 2}", "variables: {out: 2}", {"the name 'out' is taken", "source, quantized"}},
        Mistake{"variables: {windows: 2}", "variables: {kl: 2}", {"called 'kl'"}},
        Mistake{"variables: {windows: 2}", "variables: {'a b': 2}", {"'a b' is no name for commands"}},
        Mistake{"int8-row, {", "int8-row, int8-row, {", {"two recipes are called 'int8-row'"}},
        Mistake{"int8-row, {", "'{format}', {", {"{format} in a recipe needs the key 'formats'"}},
        Mistake{"recipe: int4-g32", "recipe: '{fromat}'", {"unknown placeholder '{fromat}'", "did you mean 'format'?"}},
        Mistake{"{name: ppl, run:", "{name: ppl, rum:", {"unknown key 'rum'", "did you mean 'run'?"}},
        Mistake{"as: bits", "as: bit", {"column 'bits'", "unknown way to write a value 'bit'", "did you mean 'bits'?"}},
        Mistake{"text: \"{recipe}\"", "as: text", {"column 'recipe' must have one of the keys 'text' and 'value'"}},
        Mistake{"skip: [original]", "skip: []", {"'skip' holds no recipe"}},
        Mistake{"title: Two recipes", "title: [", {"not valid YAML"}}));

TEST(SuitePlots, UnitsAreFiniteNumbersAboveZero) {
  const auto with_unit = [](const std::string& unit) {
    return std::string(kSmallSuite) +
           "plots:\n  - name: size\n    title: Size\n    text: '{recipe}'\n    x: {title: MiB, value: quantize.bytes, "
           "unit: " +
           unit + "}\n    y: {title: KL, value: kl.kl_mean}\n";
  };
  EXPECT_EQ(parse_suite(with_unit("1048576"), "s.yaml").plots.at(0).x.unit, 1048576);
  for (const std::string unit : {"inf", "-inf", "nan", "0", "-1", "1e999", "MiB"}) {
    EXPECT_THAT(refusal([&] { parse_suite(with_unit(unit), "s.yaml"); }),
                ::testing::AllOf(HasSubstr("s.yaml:24:50:"),
                                 HasSubstr("'unit' is '" + unit + "'; allowed: a finite number above 0")));
  }
}

}  // namespace
}  // namespace bitloom::testing
