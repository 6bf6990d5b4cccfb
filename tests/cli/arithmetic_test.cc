// The arithmetic study through the program, on a model too small to add: what is asked, kept, compared and refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/test_data.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::vector<std::string> kStudy = {"eval",           "arithmetic", "assets/demo", "--digits", "1-2",
                                         "--limit",        "4",          "--shots",     "1,2",      "--formats",
                                         "nosep,comma_r2l"};

std::vector<std::string> with(std::vector<std::string> more) {
  std::vector<std::string> all = kStudy;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The demo's tokenizer cuts digits by frequency, so a separator's chunks are not tokens.
TEST(Arithmetic, ProbesRefusesAndMeasures) {
  const json record = run_json(kStudy);
  EXPECT_EQ(record.at("probe").at("cut"), "irregular");
  EXPECT_EQ(record.at("prompts"), "lines");
  ASSERT_EQ(record.at("refused").size(), 1u);
  EXPECT_EQ(record["refused"][0].at("format"), "comma_r2l");
  EXPECT_THAT(record["refused"][0].at("reason").get<std::string>(), HasSubstr("its chunks are not cut alike"));
  ASSERT_EQ(record.at("cells").size(), 2u);
  EXPECT_EQ(record["cells"][1].at("shots"), 2);
  EXPECT_EQ(record["cells"][1].at("all").at("rows"), 4);
  const Outcome text = run_bitloom(kStudy);
  EXPECT_EQ(text.code, 0);
  for (const char* part :
       {"How the tokenizer cuts digits: irregular", "Refused conditions", "nosep, 2 shots", "Accuracy"})
    EXPECT_THAT(text.out, HasSubstr(part));
}

TEST(Arithmetic, KeepsAnswersAndComparesThem) {
  const TempDir dir;
  const std::string items = dir.file("items.jsonl"), again = dir.file("again.jsonl"), page = dir.file("page.html");
  run_json(with({"--items", items, "--threads", "1"}));
  const json kept = run_json(with({"--against", items, "--items", again, "--html", page, "--threads", "2"}));
  ASSERT_EQ(kept.at("paired").size(), 2u);
  for (const json& cell : kept["paired"]) {
    EXPECT_EQ(cell.at("rows"), 4);
    EXPECT_EQ(cell.at("only_reference"), 0);
    EXPECT_EQ(cell.at("only_model"), 0);
    EXPECT_EQ(cell.at("mcnemar_p"), 1.0);
  }
  EXPECT_EQ(content(items), content(again));  // the same bytes with any number of threads
  EXPECT_EQ(json::parse(content(items).substr(0, content(items).find('\n'))).at("format"), "nosep");
  EXPECT_THAT(content(page), HasSubstr("Accuracy by format"));
  const json models = run_json(with({"--ref", "assets/demo"}));
  EXPECT_EQ(models.at("paired"), kept.at("paired"));
}

TEST(Arithmetic, ReadsProblemsFromAFile) {
  const TempDir dir;
  const std::string path = dir.file("problems.csv");
  std::ofstream(path) << "num1,num2,shots\n12,34,\"5+6=11,7+8=15\"\n5,6,1+1=2\n";
  const json record = run_json(
      {"eval", "arithmetic", "assets/demo", "--set", path, "--shots", "1", "--formats", "nosep", "--ops", "+,*"});
  EXPECT_EQ(record.at("cells").size(), 2u);
  EXPECT_EQ(record["cells"][1].at("op"), "*");
  expect_error(run_bitloom({"eval", "arithmetic", "assets/demo", "--set", path, "--shots", "2", "--formats", "nosep"}),
               2, {"--shots 2: 5 + 6 of", "problems.csv", "has 1"});
}

TEST(Arithmetic, RefusesWhatItCannotAsk) {
  const TempDir dir;
  const auto run = [](std::vector<std::string> more) {
    std::vector<std::string> all = {"eval", "arithmetic", "assets/demo"};
    all.insert(all.end(), more.begin(), more.end());
    return run_bitloom(all);
  };
  expect_error(run({"--formats", "comma"}), 2, {"--formats: no number format \"comma\"", "comma_r2l"});
  expect_error(run({"--set", "g3"}), 2, {"--set g3: g1, g2 or a FILE.csv"});
  expect_error(run({"--digits", "3", "--formats", "comma_r2l"}), 3,
               {"carries none of the formats: comma_r2l (+): its chunks"});
  expect_error(run({"--digits", "a-b"}), 2, {"--digits a-b: a number of digits, or two as in 7-9"});
  expect_error(run({"--digits", "9-7"}), 2, {"--digits 9-7: lengths lie between 1 and 17"});
  expect_error(run({"--shots", "x"}), 2, {"--shots x: numbers from 0 to 64"});
  expect_error(run({"--ops", "/"}), 2, {"--ops: no operation \"/\"; there are +, - and *"});
  expect_error(run({"--prompt", "poem"}), 2, {"--prompt", "chat", "lines"});
  expect_error(run({"--prompt", "chat"}), 3, {"assets/demo", "template"});
  expect_error(run({"--formats", "nosep", "--against", dir.file("none.jsonl")}), 3, {"none.jsonl"});
  const std::string items = dir.file("items.jsonl");
  std::ofstream(items) << "{\"op\": \"+\"}\n";
  expect_error(run({"--formats", "nosep", "--against", items}), 3, {"items.jsonl:1: no field kind"});
}

}  // namespace
}  // namespace bitloom::testing
