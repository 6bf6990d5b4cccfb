#include "suite/plan.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/test_data.h"
#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> labels_of(const Plan& plan) {
  std::vector<std::string> labels;
  for (const Cell& cell : plan.cells) labels.push_back(cell.label);
  return labels;
}

const Cell& cell_called(const Plan& plan, const std::string& label) {
  for (const Cell& cell : plan.cells)
    if (cell.label == label) return cell;
  throw std::runtime_error("no cell " + label);
}

// The reference does not depend on the recipe, so it is one cell; the original is not quantized and has no KL.
TEST(SuitePlan, WhatIsTheSameIsOneCell) {
  const Plan plan = plan_of(small_suite());
  EXPECT_THAT(labels_of(plan),
              ElementsAre("demo/original/reference", "demo/original/ppl", "demo/int8-row/quantize", "demo/int8-row/kl",
                          "demo/int8-row/ppl", "demo/four/quantize", "demo/four/kl", "demo/four/ppl"));
  EXPECT_THAT(cell_called(plan, "demo/original/ppl").words,
              ElementsAre("eval", "ppl", "assets/demo", "--text", "assets/demo/evaluation.txt", "--windows", "2"));
  EXPECT_THAT(cell_called(plan, "demo/four/quantize").words,
              ElementsAre("quantize", "assets/demo", "{out}", "--recipe", "int4-g32"));
  const Cell& kl = cell_called(plan, "demo/four/kl");
  EXPECT_THAT(kl.words, ElementsAre("eval", "kl", "{cell:5}", "--ref", "{cell:0}", "--text",
                                    "assets/demo/evaluation.txt", "--windows", "2"));
  EXPECT_THAT(kl.needs, ElementsAre(0, 5));
  EXPECT_FALSE(plan.rows[0].cells.contains("kl"));
  EXPECT_FALSE(plan.rows[0].cells.contains("quantize"));
  EXPECT_EQ(plan.rows[1].cells.at("reference"), plan.rows[2].cells.at("reference"));
}

// A model of another kind is judged on a text of its own; --set replaces that too.
TEST(SuitePlan, AModelMayHaveFilesAndVariablesOfItsOwn) {
  const std::string yaml = edited(kSmallSuite, "models: [",
                                  "models: [{name: other, path: assets/demo, set: {text: README.md, windows: 9}}, ");
  const Plan plan = plan_of(parse_suite(yaml, "x.yaml"));
  EXPECT_THAT(cell_called(plan, "other/four/ppl").words,
              ElementsAre("eval", "ppl", ::testing::_, "--text", "README.md", "--windows", "9"));
  EXPECT_THAT(cell_called(plan, "demo/four/ppl").words, ::testing::Contains("2"));
  const Plan with_setting = plan_of(parse_suite(yaml, "x.yaml", {"windows=7"}));
  for (const char* label : {"other/four/ppl", "demo/four/ppl"})
    EXPECT_EQ(cell_called(with_setting, label).words.back(), "7") << label;
}

TEST(SuitePlan, OrderOfEvaluationsDoesNotMatter) {
  std::string yaml =
      edited(kSmallSuite, "  - {name: reference,", "  - {name: early, run: 'info {late}'}\n  - {name: reference,");
  yaml = edited(yaml, "tables:", "  - {name: late, run: 'quantize {quantized} {out} -r int2-g32'}\ntables:");
  const Plan plan = plan_of(parse_suite(yaml, "x.yaml"));
  EXPECT_THAT(labels_of(plan), ::testing::Contains("demo/four/late"));
  for (size_t i = 0; i < plan.cells.size(); ++i)
    for (const size_t need : plan.cells[i].needs) EXPECT_LT(need, i);
}

TEST(SuitePlan, FlagsOfAllAndOfOne) {
  std::string yaml = edited(kSmallSuite, "recipes: [", "quantize: --samples {windows}\nrecipes: [");
  yaml = edited(yaml, "{name: four, recipe: int4-g32}", "{name: four, recipe: gptq+int4-g32, quantize: --seed 3}");
  EXPECT_THAT(
      cell_called(plan_of(parse_suite(yaml, "x.yaml")), "demo/four/quantize").words,
      ElementsAre("quantize", "assets/demo", "{out}", "--recipe", "gptq+int4-g32", "--samples", "2", "--seed", "3"));
}

// The built-in text counts for recipes that learn from data, under a name that does not depend on where it lies.
TEST(SuitePlan, InputsAreWhatACommandNamesAndTheBuiltInText) {
  const Plan plan = plan_of(parse_suite(edited(kSmallSuite, "int4-g32", "gptq+int4-g32"), "x.yaml"));
  const auto names = [&](const std::string& label) {
    std::vector<std::string> inputs;
    for (const auto& [name, path] : cell_called(plan, label).inputs) inputs.push_back(name);
    return inputs;
  };
  EXPECT_THAT(names("demo/int8-row/quantize"), ElementsAre("assets/demo", "assets/demo/model.safetensors"));
  EXPECT_THAT(names("demo/four/quantize"),
              ElementsAre("assets/demo", "assets/demo/model.safetensors", "built-in text"));
  EXPECT_THAT(names("demo/four/kl"), ElementsAre("assets/demo/evaluation.txt"));
}

TEST(SuitePlan, EveryCommandIsCheckedWithMadeUpOutputs) {
  std::vector<std::vector<std::string>> checked;
  make_plan(small_suite(), [&](const std::vector<std::string>& words) { checked.push_back(words); });
  EXPECT_EQ(checked.size(), 8u);
  for (const auto& words : checked)
    for (const std::string& word : words) EXPECT_EQ(word.find('{'), word.npos) << word;
  EXPECT_THAT(refusal([] {
                make_plan(small_suite(), [](const std::vector<std::string>& words) {
                  if (words[1] == "kl") misuse("eval kl: no such flag");
                });
              }),
              HasSubstr("suites/small.yaml:8:5: 'reference': eval kl: no such flag"));
}

struct Mistake {
  std::string from, to;
  std::vector<std::string> parts;
};

class BadPlan : public ::testing::TestWithParam<Mistake> {};

TEST_P(BadPlan, IsRefusedBeforeAnythingRuns) {
  const Mistake& mistake = GetParam();
  const std::string yaml = edited(kSmallSuite, mistake.from, mistake.to);
  const std::string message = refusal([&] { plan_of(parse_suite(yaml, "suites/small.yaml")); });
  for (const std::string& part : mistake.parts) EXPECT_THAT(message, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, BadPlan,
    ::testing::Values(
        Mistake{"recipe: int4-g32", "recipe: int4-g3x", {"suites/small.yaml:6:31", "recipe 'four'", "int4-g3x"}},
        Mistake{"int8-row", "smal4", {"recipe 'smal4'", "did you mean 'small4'?"}},
        Mistake{"--save-ref {out} --text {text}",
                "--save-ref {out} --ref {ppl} --text {text}",
                {"evaluation 'reference' needs {ppl}, but the command of 'ppl' makes no {out}"}},
        Mistake{"eval kl {source} --save-ref {out}",
                "eval kl {kl} --save-ref {out}",
                {"suites/small.yaml:8:5", "in a circle: reference -> kl -> reference"}},
        Mistake{"eval ppl {quantized}", "eval ppl {ppl}", {"in a circle: ppl -> ppl"}},
        Mistake{"eval ppl {quantized}", "eval ppl {quantised}", {"unknown placeholder", "did you mean 'quantized'?"}},
        Mistake{"assets/demo/evaluation.txt", "assets/demo/evalutaion.txt", {"file 'text' is not there"}},
        Mistake{"path: assets/demo}", "path: assets/demo, set: {text: no.txt}}", {"file 'text' is not there: no.txt"}},
        Mistake{"skip: [original]", "skip: [orignal]", {"'skip' names 'orignal'", "did you mean 'original'?"}},
        Mistake{"- caption:", "- rows: [five*]\n    caption:", {"'rows' names 'five*'"}},
        Mistake{"value: quantize.bits_true",
                "value: quantise.bits_true",
                {"suites/small.yaml:17:9", "no evaluation 'quantise'", "did you mean 'quantize'?"}},
        Mistake{"interval: kl.kl_ci95", "interval: kl_ci95", {"must be EVALUATION.KEY"}},
        Mistake{"text: \"{recipe}\"", "text: \"{reciep}\"", {"unknown placeholder '{reciep}'"}},
        Mistake{"{kl.tokens}", "{lk.tokens}", {"no evaluation 'lk'"}}));

TEST(SuitePlan, AModelThatCannotBeOpenedIsNamed) {
  const std::string yaml = edited(kSmallSuite, "path: assets/demo", "path: assets/dmeo");
  EXPECT_THAT(refusal([&] { plan_of(parse_suite(yaml, "x.yaml")); }, ErrorKind::kRefused),
              HasSubstr("x.yaml: model 'demo': assets/dmeo"));
}

// Keys tell inputs apart by what they hold, and nothing else: neither by when they changed nor by other cells.
class Keys : public ::testing::Test {
 protected:
  Keys() { write("Once upon a time"); }

  void write(const std::string& text) const { std::ofstream(dir_.file("text.txt")) << text; }

  std::map<std::string, std::string> keys(const std::string& from = "Two", const std::string& to = "Two") const {
    const Suite suite = parse_suite(edited(kSmallSuite, from, to), "x.yaml", {"text=" + dir_.file("text.txt")});
    Plan plan = plan_of(suite);
    InputHashes hashes(dir_.file("hashes.json"));
    Progress silent;
    set_keys(plan, hashes, silent);
    hashes.save();
    std::map<std::string, std::string> keys;
    for (const Cell& cell : plan.cells) keys[cell.label] = cell.key;
    return keys;
  }

  std::vector<std::string> changed(const std::map<std::string, std::string>& before,
                                   const std::map<std::string, std::string>& after) const {
    std::vector<std::string> labels;
    for (const auto& [label, key] : before)
      if (!after.contains(label) || after.at(label) != key) labels.push_back(label);
    return labels;
  }

  TempDir dir_;
};

TEST_F(Keys, StayWhenNothingChanges) {
  const auto before = keys();
  EXPECT_THAT(changed(before, keys("title: Two", "title: 2")), IsEmpty());
  write("Once upon a time");
  EXPECT_THAT(changed(before, keys()), IsEmpty());
}

TEST_F(Keys, FollowAText) {
  const auto before = keys();
  write("Twice upon a time");
  EXPECT_THAT(changed(before, keys()),
              ElementsAre("demo/four/kl", "demo/four/ppl", "demo/int8-row/kl", "demo/int8-row/ppl", "demo/original/ppl",
                          "demo/original/reference"));
}

TEST_F(Keys, FollowARecipeToThoseThatUseIt) {
  EXPECT_THAT(changed(keys(), keys("int4-g32", "int4-g64")),
              ElementsAre("demo/four/kl", "demo/four/ppl", "demo/four/quantize"));
}

TEST_F(Keys, FollowARecipesFile) {
  const auto write_recipe = [&](const std::string& format, const std::string& description) {
    std::ofstream(dir_.file("r.yaml")) << "description: " << description << "\nsteps: [{quantize: " << format << "}]\n";
  };
  write_recipe("int4-g32", "one");
  const auto before = keys("recipe: int4-g32", "recipe: " + dir_.file("r.yaml"));
  write_recipe("int3-g32", "one");
  EXPECT_THAT(changed(before, keys("recipe: int4-g32", "recipe: " + dir_.file("r.yaml"))),
              ElementsAre("demo/four/kl", "demo/four/ppl", "demo/four/quantize"));
}

TEST_F(Keys, FollowAModel) {
  namespace fs = std::filesystem;
  fs::copy("assets/demo", dir_.file("model"));
  const auto of_copy = [&] { return keys("path: assets/demo", "path: " + dir_.file("model")); };
  const auto before = of_copy();
  std::ofstream(dir_.file("model/README.md"), std::ios::app) << "more";
  EXPECT_EQ(changed(before, of_copy()).size(), before.size());
}

TEST(InputHashes, ADirectoryIsItsFilesAndTheirNames) {
  const TempDir dir;
  Progress silent;
  std::filesystem::create_directories(dir.file("a/b"));
  std::ofstream(dir.file("a/one")) << "1";
  std::ofstream(dir.file("a/b/two")) << "2";
  const auto hash = [&] { return InputHashes(dir.file("none.json")).of(dir.file("a"), silent); };
  const std::string before = hash();
  EXPECT_EQ(hash(), before);
  std::filesystem::rename(dir.file("a/b/two"), dir.file("a/b/deux"));
  EXPECT_NE(hash(), before);
}

// A hash is taken from memory only while size and time of change are the same, and not for a file so young that it
// could change again unseen.
TEST(InputHashes, RemembersOldFiles) {
  namespace fs = std::filesystem;
  const TempDir dir;
  Progress silent;
  const std::string file = dir.file("text"), memory = dir.file("hashes.json");
  const auto hash = [&] {
    InputHashes hashes(memory);
    const std::string result = hashes.of(file, silent);
    hashes.save();
    return result;
  };
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  std::ofstream(file) << "abc";
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";  // FIPS 180-2, B.1
  EXPECT_EQ(hash(), abc);
  std::ofstream(file) << "abd";
  EXPECT_NE(hash(), abc) << "of the same size, changed at once";
  std::ofstream(file) << "abc";
  fs::last_write_time(file, long_ago);
  EXPECT_EQ(hash(), abc);
  std::ofstream(file) << "xyz";
  fs::last_write_time(file, long_ago);
  EXPECT_EQ(hash(), abc) << "the same size and time: not read again";
  fs::last_write_time(file, long_ago + std::chrono::seconds(1));
  EXPECT_NE(hash(), abc);
  std::ofstream(memory) << "not JSON";
  EXPECT_NE(hash(), abc) << "a damaged memory is begun anew";
}

}  // namespace
}  // namespace bitloom::testing
