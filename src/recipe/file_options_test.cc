#include "recipe/file_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/test_data.h"
#include "recipe/recipe.h"
#include "round/gptq/gptq.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kFile = R"(
name: mine
options:
  bits: 4
  order: [group-aware, natural]
  pair:
    fp-fp: {weights: e2m1, group: 32}
    int-int: {weights: "int${bits}", group: 64}
steps:
  - quantize: ${pair.weights}-g${pair.group}
    rounding: {gptq: {order: "${order}"}}
  - quantize: int${bits}-row
    targets: ["${pair}", head]
)";

Recipe recipe(const std::string& options, const std::string& yaml = kFile) {
  return parse_recipe(yaml, "mine.yaml", options);
}

std::string refusal(const std::string& options, const std::string& yaml = kFile) {
  return testing::message_of(ErrorKind::kUsage, [&] { recipe(options, yaml); });
}

TEST(FileOptions, HaveDefaults) {
  const Recipe made = recipe("");
  EXPECT_EQ(made.name, "mine");
  EXPECT_EQ(made.steps[0].quantize, parse_target("e2m1-g32"));
  EXPECT_EQ(made.steps[0].rounding, Rounding(GptqRounding{}));
  EXPECT_EQ(made.steps[1].quantize, parse_target("int4-row"));
  EXPECT_EQ(made.steps[1].targets, (std::vector<std::string>{"fp-fp", "head"}));
}

TEST(FileOptions, CanAddAStep) {
  const std::string yaml =
      "options: {tuned: {'no': {scales: '', step: none}, 'yes': {scales: -outscales, step: bias-correction}}}\n"
      "steps: [{transform: '${tuned.step}'}, {quantize: 'int4-row+frame-in64${tuned.scales}'}]\n";
  EXPECT_EQ(recipe("", yaml).steps, parse_short("int4-row+frame-in64").steps);
  EXPECT_EQ(recipe("tuned=yes", yaml).steps, parse_short("bias-correction+int4-row+frame-in64-outscales").steps);
  EXPECT_THAT(refusal("", "options: {a: {x: {step: none}}}\nsteps: [{transform: '${a.step}'}]"),
              HasSubstr("mine.yaml:2:8: every step is 'none'"));
}

TEST(FileOptions, AreSetByName) {
  const Recipe made = recipe("order=natural,bits=3");
  EXPECT_EQ(made.name, "mine:bits=3,order=natural");
  EXPECT_EQ(made.steps[0].rounding, Rounding(GptqRounding{.order = ColumnOrder::kNatural}));
  EXPECT_EQ(made.steps[1].quantize, parse_target("int3-row"));
  EXPECT_EQ(recipe("bits=4").name, "mine") << "a default is not printed";
  // What comes of it is a recipe without options.
  EXPECT_EQ(parse_recipe(to_yaml(made), "r"), made);
}

// A value is put in as it is: names in it are not looked at again.
TEST(FileOptions, DoNotNest) {
  EXPECT_THAT(refusal("pair=int-int"), AllOf(HasSubstr("mine.yaml:10:"), HasSubstr("int${bits}")));
}

TEST(FileOptions, RefuseWhatIsNotDeclared) {
  EXPECT_EQ(refusal("bit=3"), "unknown option 'bit' (did you mean 'bits'?); allowed: bits, order, pair");
  EXPECT_THAT(refusal("order=act-order"), HasSubstr("option 'order' must be one of group-aware, natural, found"));
  EXPECT_THAT(refusal("pair=int-fp"), HasSubstr("option 'pair' must be one of fp-fp, int-int, found 'int-fp'"));
  EXPECT_THAT(refusal("bits=3,bits=4"), HasSubstr("option 'bits' is given twice"));
  EXPECT_THAT(refusal("bits"), HasSubstr("option 'bits' needs a value"));
  EXPECT_THAT(refusal("bits="), HasSubstr("option 'bits' needs a value"));
  EXPECT_THAT(refusal("bits=5.5"), AllOf(HasSubstr("mine.yaml:12:"), HasSubstr("int5.5")));
  EXPECT_THAT(refusal("a=1", "steps: [{quantize: int4}]"), HasSubstr("'a=1': this recipe declares no options"));
}

TEST(FileOptions, RefuseFilesThatMakeNoSense) {
  EXPECT_THAT(refusal("", "options: {a: 1}\nsteps: [{quantize: int4}]"),
              AllOf(HasSubstr("mine.yaml:1:14"), HasSubstr("option 'a' is used by no step")));
  EXPECT_THAT(refusal("", "steps: [{quantize: 'int${b}'}]"),
              AllOf(HasSubstr("mine.yaml:1:20"), HasSubstr("'${b}' is no option of this recipe; there are none")));
  EXPECT_THAT(refusal("", "options: {bits: 3}\nsteps: [{quantize: 'int${bit}'}]"),
              HasSubstr("(did you mean 'bits'?); there are bits"));
  EXPECT_THAT(refusal("", "options: {b: 3}\nsteps: [{quantize: 'int${b'}]"), HasSubstr("no '}' after '${'"));
  EXPECT_THAT(refusal("", "options: [a]\nsteps: [{quantize: int4}]"), HasSubstr("'options' must be a map"));
  EXPECT_THAT(refusal("", "options: {a: {x: 1}}\nsteps: [{quantize: int4}]"), HasSubstr("'x' must be a map of texts"));
  EXPECT_THAT(refusal("", "options: {a.b: 1}\nsteps: [{quantize: int4}]"), HasSubstr("option 'a.b' has one of"));
  EXPECT_THAT(refusal("", "options: {a: 1, a: 2}\nsteps: [{quantize: 'int${a}'}]"), HasSubstr("'a' stands twice"));
}

TEST(FileOptions, AreGivenBehindTheFilesName) {
  testing::TempDir dir;
  const std::string path = dir.file("my:own.yaml");
  std::ofstream(path) << kFile;
  EXPECT_EQ(load_recipe(path).name, "mine");
  EXPECT_EQ(load_recipe(path + ":bits=3"), recipe("bits=3"));
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { load_recipe("small4:bits=3"); }),
              HasSubstr("this recipe declares no options"));
}

}  // namespace
}  // namespace bitloom
