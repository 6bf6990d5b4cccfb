#include "suite/run_suite.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "base/test_data.h"
#include "suite/cell_words.h"
#include "suite/test_suites.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Lines : Progress {
  std::vector<std::string> lines;
  void log(const std::string& line) override { lines.push_back(line); }
};

/// The small suite with commands that only take notes: each writes its {out} and takes two seconds of a clock of its
/// own. Keys are the labels' places.
class RunCells : public ::testing::Test {
 protected:
  RunCells() : plan_(plan_of(small_suite())) {
    for (size_t i = 0; i < plan_.cells.size(); ++i) plan_.cells[i].key = "key" + std::to_string(i);
    options_.clock = [this] { return time_; };
    options_.command = [this](const std::vector<std::string>& words) { return command(words); };
  }

  CellStore store(const std::string& build = "build-one", bool any = false) const { return {dir_.path(), build, any}; }

  Json command(const std::vector<std::string>& words) {
    const std::string label = label_of(words);
    ran_.push_back(label.substr(label.find('/') + 1));
    time_ += 2;
    for (const std::string& word : words) {
      if (!word.starts_with(dir_.path())) continue;
      const bool own = word == store("build-one").output(cell(label)) || word == store("build-two").output(cell(label));
      if (own) std::ofstream(word) << label;
      EXPECT_TRUE(fs::exists(word)) << label << " needs " << word;
    }
    if (label == fails_) refuse("{} is broken", label);
    return {{"label", label}, {"kl_mean", 0.5}, {"words", words}};
  }

  const Cell& cell(const std::string& label) const {
    for (const Cell& cell : plan_.cells)
      if (cell.label == label) return cell;
    throw std::runtime_error(label);
  }

  /// The cell that a command with real outputs is of.
  std::string label_of(const std::vector<std::string>& words) const {
    for (const std::string build : {"build-one", "build-two"}) {
      const CellStore of_build = store(build);
      for (const Cell& cell : plan_.cells) {
        const auto output = [&](size_t other) { return of_build.output(plan_.cells[other]); };
        if (with_outputs(cell.words, of_build.output(cell), output) == words) return cell.label;
      }
    }
    return "unknown";
  }

  /// What this run ran, without the model's name.
  std::vector<std::string> run(const CellStore& store) {
    ran_.clear();
    lines_.lines.clear();
    outcomes_ = run_cells(
        plan_, store, options_, [](const Cell&, const Json&) {}, lines_);
    return ran_;
  }
  std::vector<std::string> run() { return run(store()); }

  std::vector<std::string> outputs() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.file("cells")))
      if (entry.path().extension() == ".out") names.push_back(entry.path().filename());
    return names;
  }

  TempDir dir_;
  Plan plan_;
  SuiteRunOptions options_;
  std::vector<CellOutcome> outcomes_;
  std::vector<std::string> ran_;
  std::string fails_;
  Lines lines_;
  double time_ = 0;
};

const std::vector<std::string> kAll = {"original/reference", "original/ppl",  "int8-row/quantize", "int8-row/kl",
                                       "int8-row/ppl",       "four/quantize", "four/kl",           "four/ppl"};

TEST_F(RunCells, EveryCellOnceAndOutputsOnlyAsLongAsNeeded) {
  EXPECT_EQ(run(), kAll);
  for (const CellOutcome& outcome : outcomes_) {
    ASSERT_TRUE(outcome.result && outcome.ran);
    EXPECT_EQ(outcome.result->seconds, 2);
  }
  EXPECT_THAT(outputs(), IsEmpty());
  EXPECT_THAT(run(), IsEmpty());
  EXPECT_THAT(lines_.lines, IsEmpty()) << "nothing to say about what is finished";
  EXPECT_EQ(outcomes_[3].result->record.at("label"), "demo/int8-row/kl");
  EXPECT_EQ(outcomes_[3].result->record.at("words")[2], "cell:demo/int8-row/quantize");
  EXPECT_EQ(outcomes_[0].result->record.at("words")[4], "cell:demo/original/reference");
  EXPECT_FALSE(outcomes_[3].ran);
}

TEST_F(RunCells, KeepsOutputsWhenAsked) {
  options_.keep = true;
  run();
  EXPECT_EQ(outputs().size(), 3u);
  store().remove_all_outputs();
  EXPECT_THAT(outputs(), IsEmpty());
}

// Another key of one evaluation: what it needs is made again, what else needed that is not.
TEST_F(RunCells, MakesOutputsAgainForWhatIsNew) {
  run();
  plan_.cells[6].key = "new";  // four/kl
  EXPECT_THAT(run(), ElementsAre("original/reference", "four/quantize", "four/kl"));
  EXPECT_THAT(lines_.lines, ::testing::Contains(HasSubstr("[0/1] demo/four/quantize, again")));
  EXPECT_THAT(outputs(), IsEmpty());
}

TEST_F(RunCells, AFailureEndsOnlyWhatNeedsIt) {
  fails_ = "demo/int8-row/quantize";
  EXPECT_THAT(run(), ElementsAre("original/reference", "original/ppl", "int8-row/quantize", "four/quantize", "four/kl",
                                 "four/ppl"));
  EXPECT_EQ(outcomes_[2].failure, "demo/int8-row/quantize is broken");
  EXPECT_EQ(outcomes_[3].failure, "needs demo/int8-row/quantize, which failed");
  EXPECT_TRUE(outcomes_[6].result);
  fails_ = "";
  EXPECT_THAT(run(), ElementsAre("int8-row/quantize", "original/reference", "int8-row/kl", "int8-row/ppl"))
      << "a failure is tried again";
}

TEST_F(RunCells, OnlyWhatWasAskedFor) {
  options_.only = "four";
  EXPECT_THAT(run(), ElementsAre("original/reference", "four/quantize", "four/kl", "four/ppl"));
  EXPECT_FALSE(outcomes_[4].result);
  EXPECT_TRUE(outcomes_[4].failure.empty());
  options_.only = "ppl";
  EXPECT_THAT(run(), ElementsAre("original/ppl", "int8-row/quantize", "int8-row/ppl"));
  options_.only = "demo/int8-row/k*";
  EXPECT_THAT(run(), ElementsAre("original/reference", "int8-row/quantize", "int8-row/kl"));
  options_.only = "demo/int8-row/kll";
  EXPECT_THAT(refusal([&] { run(); }), HasSubstr("matches none of the 8 cells (did you mean 'demo/int8-row/kl'?)"));
}

TEST_F(RunCells, AnotherBuildBeginsAgainUnlessAnyWillDo) {
  run();
  EXPECT_THAT(run(store("build-two", true)), IsEmpty());
  EXPECT_EQ(run(store("build-two")), kAll);
  EXPECT_EQ(run(store("build-one")), kAll) << "the newest result is kept";
}

// The output of another build, or one without a result, is not used.
TEST_F(RunCells, AnOutputAloneDoesNotCount) {
  std::ofstream(store().output(cell("demo/four/quantize"))) << "half a model";
  EXPECT_FALSE(store().has_output(cell("demo/four/quantize")));
  EXPECT_EQ(run(), kAll);
}

TEST_F(RunCells, ADamagedResultIsMadeAgain) {
  run();
  std::ofstream(dir_.file("cells/ppl-key1.json")) << "{\"record\": ";
  EXPECT_THAT(run(), ElementsAre("original/ppl"));
}

TEST_F(RunCells, TheCheckSeesOldAndNewResultsAndEndsTheRun) {
  run();
  ran_.clear();
  const auto check = [](const Cell& cell, const Json& record) {
    EXPECT_TRUE(record.contains("kl_mean"));
    if (cell.evaluation == "kl") misuse("no such column");
  };
  EXPECT_EQ(refusal([&] { run_cells(plan_, store(), options_, check, lines_); }), "no such column");
  EXPECT_THAT(ran_, IsEmpty());
}

TEST_F(RunCells, SaysHowLongTheRestTakes) {
  run();
  EXPECT_EQ(lines_.lines.front(), "0 of 8 cells are finished already");
  EXPECT_THAT(lines_.lines, ::testing::Contains("[1/8] demo/original/reference: 2.0 s; about 14.0 s left"));
  EXPECT_EQ(lines_.lines.back(), "[8/8] demo/four/ppl: 2.0 s");
}

TEST(ExpectedSeconds, MeansOfTheSameEvaluationElseOfAll) {
  EXPECT_FALSE(expected_seconds({}, {"kl"}));
  EXPECT_DOUBLE_EQ(*expected_seconds({{"kl", 2}, {"kl", 4}, {"quantize", 12}}, {"kl", "quantize", "tasks"}),
                   3 + 12 + 6);
  EXPECT_DOUBLE_EQ(*expected_seconds({{"kl", 2}}, {}), 0);
}

}  // namespace
}  // namespace bitloom::testing
