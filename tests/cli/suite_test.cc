// Suites through the program: tables, what is kept, kills, mistakes.

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <regex>

#include <chrono>
#include <filesystem>
#include <random>
#include <regex>
#include <thread>

#include "base/clock.h"
#include "base/test_data.h"
#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Two recipes, one that looks at data, judged on one short window against a kept reference.
constexpr const char* kSuite = R"(
name: tiny
title: Two recipes
files: {text: assets/demo/evaluation.txt}
variables: {windows: 1}
models: [{name: demo, path: MODEL}]
quantize: --samples 4 --seq 32 --calib {text}
recipes: [original, int4-g32, {name: gptq, recipe: gptq+int3-g32}]
evaluations:
  - {name: reference, run: "eval kl {source} --save-ref {out} --text {text} -c 64 --windows {windows}"}
  - {name: ppl, run: "eval ppl {source} --text {text} -c 64 --windows {windows}"}
  - {name: kl, run: "eval kl {quantized} --ref {reference} --text {text} -c 64 --windows {windows}", skip: [original]}
tables:
  - caption: "{kl.protocol_description} of {text}."
    columns:
      - {title: recipe, text: "{recipe}"}
      - {title: bits, value: quantize.bits_true, as: bits}
      - {title: KL, value: kl.kl_mean, interval: kl.kl_ci95}
      - {title: perplexity, value: [kl.ppl, ppl.ppl], as: perplexity}
)";

/// Of a run that did some work first: the exit code, nothing on standard output, and what the last line holds.
void expect_end(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  const size_t last = outcome.err.rfind("bitloom: error: ");
  ASSERT_NE(last, outcome.err.npos) << outcome.err;
  expect_error({outcome.code, outcome.out, outcome.err.substr(last)}, code, parts);
}

class Suites : public ::testing::Test {
 protected:
  Suites() {
    model_.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 1; });
    write_bytes(file_, edited(kSuite, "MODEL", model_.path()));
  }

  std::vector<std::string> command(const std::string& out) const {
    return {"suite", file_, "--out", dir_.file(out), "-t", "1"};
  }

  /// table.md and results.json of a run.
  std::pair<std::string, std::string> results(const std::string& out) const {
    return {read_bytes(dir_.file(out + "/table.md")), read_bytes(dir_.file(out + "/results.json"))};
  }

  void run(const std::string& out) const {
    const Outcome outcome = run_bitloom(command(out));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }

  ModelCopy model_;
  TempDir dir_;
  std::string file_ = dir_.file("tiny.yaml");
};

TEST_F(Suites, TablesAreThoseOfTheVerbs) {
  const Outcome outcome = run_bitloom(command("a"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("[6/6] demo/gptq/kl"), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.out, read_bytes(dir_.file("a/table.md")));
  EXPECT_NE(outcome.out.find("## Two recipes\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("| gptq | 3.50 | "), std::string::npos) << outcome.out;

  const std::vector<std::string> protocol = {"--text", "assets/demo/evaluation.txt", "-c", "64", "--windows", "1"};
  const auto by_hand = [&](std::vector<std::string> words) {
    words.insert(words.end(), protocol.begin(), protocol.end());
    return run_json(words);
  };
  run_json({"quantize", model_.path(), dir_.file("q"), "-r", "gptq+int3-g32", "--samples", "4", "--seq", "32",
            "--calib", "assets/demo/evaluation.txt"});
  by_hand({"eval", "kl", model_.path(), "--save-ref", dir_.file("ref")});
  const json kl = by_hand({"eval", "kl", dir_.file("q"), "--ref", dir_.file("ref")});
  const json results = json::parse(read_bytes(dir_.file("a/results.json")));
  EXPECT_EQ(results.at("rows").at(2).at("results").at("kl").at("kl_mean"), kl.at("kl_mean"));
  EXPECT_EQ(results.at("rows").at(0).at("results").at("ppl").at("ppl"),
            by_hand({"eval", "ppl", model_.path()}).at("ppl"));
  EXPECT_EQ(results.at("tables").at(0).at("rows").at(2).at(2), kl.at("kl_mean"));
  const json times = json::parse(read_bytes(dir_.file("a/times.json"))).at("cells").at("demo/gptq/quantize");
  EXPECT_GT(times.at("seconds"), 0);
  EXPECT_GT(times.at("result").at("processor_seconds"), 0);
  for (const auto& entry : fs::directory_iterator(dir_.file("a/cells")))
    EXPECT_EQ(entry.path().extension(), ".json") << entry.path() << ": models and references are not kept";
}

TEST_F(Suites, TwoRunsGiveTheSameBytesAndAFinishedOneRunsNothing) {
  run("a");
  run("b");
  EXPECT_EQ(results("a"), results("b"));
  const std::string times = read_bytes(dir_.file("a/times.json"));
  const Outcome again = run_bitloom(command("a"));
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err, "");
  EXPECT_EQ(results("a"), results("b"));
  EXPECT_EQ(read_bytes(dir_.file("a/times.json")), times) << "times are those of the runs that were made";
}

TEST_F(Suites, OnlyWhatChangedIsRunAgain) {
  run("a");
  write_bytes(file_, edited(read_bytes(file_), "gptq+int3-g32", "gptq+int4-g32"));
  const Outcome outcome = run_bitloom(command("a"));
  EXPECT_NE(outcome.err.find("4 of 6 cells are finished already"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out.find("| gptq | 4.50 | "), std::string::npos) << outcome.out;
}

TEST_F(Suites, DryRunListsAndRunsNothing) {
  std::vector<std::string> words = command("a");
  words.emplace_back("--dry-run");
  const json plan = run_json(words);
  ASSERT_EQ(plan.at("cells").size(), 6u);
  EXPECT_EQ(plan.at("cells").at(5).at("label"), "demo/gptq/kl");
  EXPECT_EQ(plan.at("cells").at(5).at("finished"), false);
  EXPECT_FALSE(fs::exists(dir_.file("a/table.md")));
}

TEST_F(Suites, FillsInWhatDocumentsMark) {
  const std::string document = dir_.file("doc.md");
  write_bytes(document, "# Title\n<!-- suites/tiny.yaml -->\n<!-- end -->\nMore.\n");
  std::vector<std::string> words = command("a");
  words.insert(words.end(), {"--markdown", document});
  std::vector<std::string> partly = words;
  partly.insert(partly.end(), {"--only", "int4-g32"});
  expect_end(run_bitloom(partly), 2, {document + ":2", "of its values are not there yet"});
  EXPECT_EQ(read_bytes(document), "# Title\n<!-- suites/tiny.yaml -->\n<!-- end -->\nMore.\n");
  ASSERT_EQ(run_bitloom(words).code, 0);
  const std::string filled = read_bytes(document);
  EXPECT_NE(filled.find("| gptq | 3.50 | "), std::string::npos) << filled;
  EXPECT_EQ(filled.find("Two recipes"), std::string::npos);
  EXPECT_TRUE(filled.ends_with("\n<!-- end -->\nMore.\n")) << filled;
}

// The suites that come with bitloom, as far as they can be checked without running them.
TEST(SuiteFiles, AreAllValid) {
  BITLOOM_REQUIRE_SMOLLM2();
  for (const std::string needed : {"data/wikitext2/wiki.test.raw", "data/openwebtext-1000.jsonl", "models/english-3m"})
    BITLOOM_REQUIRE_SHARED(needed);
  const TempDir dir;
  const std::string outliers = dir.file("outliers");
  ASSERT_EQ(run_shell("tools/make_outlier_model.py " + shared_path("models/english-3m") + " " + outliers).code, 0);
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator("suites")) {
    // The model that is made beforehand, by the command that the file names.
    const std::string text =
        std::regex_replace(read_bytes(entry.path()), std::regex("path: build/outliers"), "path: " + outliers);
    write_bytes(dir.file("suite.yaml"), text);
    const json plan = run_json({"suite", dir.file("suite.yaml"), "--dry-run", "--out", dir.file("out")});
    EXPECT_GT(plan.at("cells").size(), 1u) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 4u);
}

// A command that fails is told at the end; the others are kept.
TEST_F(Suites, AFailedCellFailsTheRunAndNothingElse) {
  write_bytes(file_, edited(read_bytes(file_), "{quantized} --ref {reference} --text {text} -c 64",
                            "{quantized} --ref {reference} --text {text} -c 32"));
  expect_end(run_bitloom(command("a")), 1, {"2 of 6 cells failed, the first: demo/int4-g32/kl: "});
  const std::string table = read_bytes(dir_.file("a/table.md"));
  EXPECT_NE(table.find("| gptq | 3.50 | failed | failed |"), std::string::npos) << table;
}

TEST_F(Suites, OneRunAtATimeInADirectory) {
  fs::create_directories(dir_.file("a"));
  const Outcome outcome = run_shell("exec 9>" + dir_.file("a/lock") + "; flock 9; $BITLOOM suite " + file_ + " --out " +
                                    dir_.file("a") + " 9>&-");
  expect_error(outcome, 1, {"another run of a suite is working there"});
}

struct Mistake {
  std::string from, to;
  int code;
  std::vector<std::string> parts;
};

class SuiteMistakes : public Suites, public ::testing::WithParamInterface<Mistake> {};

TEST_P(SuiteMistakes, AreRefusedBeforeAnythingRuns) {
  const Mistake& mistake = GetParam();
  write_bytes(file_, edited(read_bytes(file_), mistake.from, mistake.to));
  std::vector<std::string> parts = mistake.parts;
  parts.push_back(file_);
  expect_error(run_bitloom(command("a")), mistake.code, parts);
  EXPECT_FALSE(fs::exists(dir_.file("a")));
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, SuiteMistakes,
    ::testing::Values(Mistake{"eval kl {source} --save-ref {out}",
                              "eval kl {kl} --save-ref {out}",
                              2,
                              {"in a circle: reference -> kl -> reference"}},
                      Mistake{"gptq+int3-g32", "gqtq+int3-g32", 2, {"recipe 'gptq'", "gqtq", "did you mean 'gptq'?"}},
                      Mistake{"eval ppl", "eval pll", 2, {"'ppl'", "unknown measure 'pll'", "did you mean 'ppl'?"}},
                      Mistake{"--save-ref", "--save-rfe", 2, {"unknown flag --save-rfe", "did you mean '--save-ref'?"}},
                      Mistake{
                          "eval ppl {source}", "suite {source}", 2, {"a suite cannot run '" BITLOOM_PROGRAM " suite'"}},
                      Mistake{"assets/demo/evaluation.txt", "assets/demo/none.txt", 2, {"file 'text' is not there"}},
                      Mistake{"path: ", "path: x", 3, {"model 'demo'"}}));

class SuiteKill : public Suites {
 protected:
  /// Kills a run after `seconds`; false when it had ended.
  bool kill_after(const std::string& out, double seconds) const {
    const pid_t child = start_bitloom(command(out));
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
  }
};

// Moments are pseudo-random shares of the time that a whole run takes here and now. A run that ends by itself has its
// results compared and is begun again from nothing.
TEST_F(SuiteKill, AtAnyMomentAndTheTableIsTheSame) {
  run("warm");
  const Stopwatch watch;
  run("expected");
  const double whole = watch.seconds();
  const auto expected = results("expected");
  std::mt19937 random(20240601);
  std::uniform_real_distribution<double> share(0.05, 0.95);
  int kills = 0, went_on = 0;
  for (int runs = 0; kills < 12 && runs < 60; ++runs) {
    std::error_code none;
    went_on += fs::exists(dir_.file("out/cells"), none) && !fs::is_empty(dir_.file("out/cells"), none);
    if (kill_after("out", share(random) * whole)) {
      ++kills;
      continue;
    }
    EXPECT_EQ(results("out"), expected);
    fs::remove_all(dir_.file("out"));
  }
  EXPECT_EQ(kills, 12);
  EXPECT_GT(went_on, 3);
  run("out");
  EXPECT_EQ(results("out"), expected);
  for (const auto& entry : fs::directory_iterator(dir_.file("out/cells"))) EXPECT_EQ(entry.path().extension(), ".json");
}

}  // namespace
}  // namespace bitloom::testing
