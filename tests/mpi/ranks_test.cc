// Several processes quantize together: what they write, and what happens when one fails or is lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "program.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::run_shell;

constexpr const char* kFlags = "--samples 24 --seq 256 --threads 1";

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) files[entry.path().filename()] = contents(entry.path());
  return files;
}

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class RanksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (BITLOOM_HAS_MPI == 0) GTEST_SKIP() << "built without MPI: needs libopenmpi-dev";
    if (run_shell("command -v mpirun").code != 0) GTEST_SKIP() << "no mpirun: needs openmpi-bin";
    directory_ = fs::temp_directory_path() / ("bitloom-ranks-" + std::to_string(getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override {
    if (!directory_.empty()) fs::remove_all(directory_);
  }

  std::string file(const std::string& name) const { return (directory_ / name).string(); }

  /// One process is started without mpirun.
  static std::string command(int ranks, const std::string& rest) {
    const std::string prefix =
        ranks == 1 ? ""
                   : "mpirun --allow-run-as-root --oversubscribe --bind-to none -np " + std::to_string(ranks) + " ";
    return prefix + "\"$BITLOOM\" " + rest;
  }
  Outcome quantize(int ranks, const std::string& out, const std::string& recipe, const std::string& flags = kFlags) {
    return run_shell(command(ranks, "quantize assets/demo " + file(out) + " -r " + recipe + " " + flags));
  }

  fs::path directory_;
};

TEST_F(RanksTest, RepeatTheSameBytes) {
  const Outcome outcome = quantize(3, "a", "gptq+int4-g32");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(count_of(outcome.out, "bits per weight of the model"), 1);
  EXPECT_EQ(count_of(outcome.err, "3 processes, 1 threads each"), 1);
  ASSERT_EQ(quantize(3, "b", "gptq+int4-g32", "--samples 24 --seq 256 --threads 2").code, 0);
  EXPECT_EQ(files_of(file("a")), files_of(file("b")));
  EXPECT_FALSE(fs::exists(file("a") + ".journal"));
}

/// The layers' output errors by name; those of the first block alone, or all.
std::map<std::string, double> output_errors(const std::string& json, bool first_block) {
  std::map<std::string, double> errors;
  const nlohmann::json record = nlohmann::json::parse(json);
  for (const auto& tensor : record.at("tensors")) {
    const std::string name = tensor.at("name");
    if (!first_block || name.find("layers.0.") != std::string::npos) errors[name] = tensor.at("output_error");
  }
  return errors;
}

/// 24 x 256 tokens are three chunks, so each rank sees others. Sums of the same terms in another order differ by
/// rounding: the moments by 1e-16 (fp64), the cross moments by 1e-7 of their size (fp32). A code changes only where it
/// lies that close to a boundary, where both codes have the same error to first order: so a layer's error follows its
/// moments, far within 1e-5. But one code that changed changes all that later layers see, and rounding is chaotic: with
/// the fp32 moments of gptaq only the first block can be compared.
TEST_F(RanksTest, AgreeWithOneProcess) {
  const std::string flags = std::string(kFlags) + " --json";
  for (const auto& [recipe, first_block] : std::map<std::string, bool>{
           {"awq+gptq+int4-g32", false}, {"gptaq+int4-g32", true}, {"adaround:iterations=5+int4-g32", false}}) {
    const Outcome one = quantize(1, recipe + "1", recipe, flags), three = quantize(3, recipe + "3", recipe, flags);
    ASSERT_EQ(one.code, 0) << one.err;
    ASSERT_EQ(three.code, 0) << three.err;
    const auto alone = output_errors(one.out, first_block), together = output_errors(three.out, first_block);
    ASSERT_EQ(alone.size(), first_block ? 7u : 42u);
    for (const auto& [name, error] : alone)
      EXPECT_NEAR(together.at(name), error, 1e-5 * error) << recipe << " " << name;
  }
}

/// Recipes of papers, whose matrices' rows are solved together or apart: what differs between one process and two is
/// again the order of sums in fp64.
TEST_F(RanksTest, RecipesOfPapersAgreeWithOneProcess) {
  const std::string flags = "--samples 9 --seq 128 --threads 1 --json";
  for (const std::string recipe : {"claq-2.12", "billm", "spqr-3", "slim-2", "hqq-2", "onebit-svid", "pb-1.7"}) {
    const Outcome one = quantize(1, recipe + "1", recipe, flags), two = quantize(2, recipe + "2", recipe, flags);
    ASSERT_EQ(one.code, 0) << recipe << one.err;
    ASSERT_EQ(two.code, 0) << recipe << two.err;
    const nlohmann::json alone = nlohmann::json::parse(one.out), both = nlohmann::json::parse(two.out);
    std::map<std::string, nlohmann::json> together;
    for (const auto& tensor : both.at("tensors")) together[tensor.at("name")] = tensor;
    ASSERT_EQ(together.size(), 42u) << recipe;
    for (const auto& tensor : alone.at("tensors")) {
      const std::string name = tensor.at("name");
      const nlohmann::json& other = together.at(name);
      EXPECT_EQ(other.at("bytes"), tensor.at("bytes")) << recipe << " " << name;
      for (const char* key : {"weight_error", "output_error"}) {
        ASSERT_EQ(other.contains(key), tensor.contains(key)) << recipe << " " << name;
        if (!tensor.contains(key)) continue;
        const double error = tensor.at(key);
        EXPECT_NEAR(other.at(key), error, 1e-5 * error) << recipe << " " << name;
      }
    }
  }
}

constexpr const char* kLoom = "ldlq:two-sided,drift=1+trellis2-l12+frame-in64-out64";

/// Bits are allocated by all ranks together, as one process does; then the same bytes for the same number of ranks.
TEST_F(RanksTest, AllocateTheSameBitsAsOneProcess) {
  const std::string flags = "--samples 9 --seq 128 --json --bpw 2.75 --threads ";
  const Outcome one = quantize(1, "one", kLoom, flags + "1"), two = quantize(2, "two", kLoom, flags + "1"),
                again = quantize(2, "again", kLoom, flags + "2");
  ASSERT_EQ(one.code, 0) << one.err;
  ASSERT_EQ(two.code, 0) << two.err;
  ASSERT_EQ(again.code, 0) << again.err;
  const auto groups = [](const Outcome& outcome) {
    return nlohmann::json::parse(outcome.out).at("allocation").at("groups");
  };
  EXPECT_EQ(groups(one), groups(two));
  EXPECT_EQ(groups(two), groups(again));
  EXPECT_EQ(files_of(file("two")), files_of(file("again")));
}

/// Stopped as soon as the layers' moments lie in the journal: all ranks get them from there.
TEST_F(RanksTest, GoOnWithMomentsThatWereGathered) {
  const std::string flags = "--samples 24 --seq 256 --threads 1", journal = file("killed") + ".journal";
  const Outcome killed = run_shell(command(2, "quantize assets/demo " + file("killed") + " -r " + kLoom + " " + flags) +
                                   " & job=$!; while [ ! -d " + journal +
                                   "/moments ] && kill -0 $job 2>/dev/null; do sleep 0.02; done\n"
                                   "for pid in $(cat /proc/$job/task/*/children); do kill -9 $pid; done; wait $job");
  EXPECT_NE(killed.code, 0);
  ASSERT_TRUE(fs::exists(journal + "/moments"));
  const Outcome resumed = quantize(2, "killed", kLoom, flags);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(count_of(resumed.err, "the layers' moments are taken from"), 1) << resumed.err;
  ASSERT_EQ(quantize(2, "whole", kLoom, flags).code, 0);
  EXPECT_EQ(files_of(file("killed")), files_of(file("whole")));
}

/// Ranges of channels merge exactly, and codebooks are made by every rank alike: the same matrices for any number. Their
/// sizes are their own, so they cross between ranks as they are.
TEST_F(RanksTest, CodebooksAreTheSame) {
  const std::string flags = std::string(kFlags) + " --json", recipe = "smoothquant+kmeans:outliers=0.01+codebook2.5-col";
  const Outcome one = quantize(1, "one", recipe, flags), three = quantize(3, "three", recipe, flags);
  ASSERT_EQ(one.code, 0) << one.err;
  ASSERT_EQ(three.code, 0) << three.err;
  const auto tensors = [](const Outcome& outcome) { return nlohmann::json::parse(outcome.out).at("tensors"); };
  EXPECT_EQ(tensors(one), tensors(three));
  EXPECT_EQ(tensors(one).size(), 42u);
}

/// Histograms merge exactly, so do the ranges found in them.
TEST_F(RanksTest, RangesOfActivationsAreTheSame) {
  const std::string recipe = "int8-row@int8-tensor-mse";
  ASSERT_EQ(quantize(1, "one", recipe).code, 0);
  ASSERT_EQ(quantize(2, "two", recipe).code, 0);
  const auto activations = [&](const std::string& out) {
    return nlohmann::json::parse(contents(file(out) + "/config.json")).at("quantization_config").at("activations");
  };
  EXPECT_EQ(activations("one"), activations("two"));
  EXPECT_EQ(activations("one").size(), 24u);
}

TEST_F(RanksTest, MoreRanksThanSequences) {
  EXPECT_EQ(quantize(3, "few", "awq+gptq+int4-g32", "--samples 1 --seq 64 --threads 1").code, 0);
}

/// The leading rank does it by itself.
TEST_F(RanksTest, NeedNoData) {
  EXPECT_EQ(quantize(2, "nearest", "int4-g32", "").code, 0);
  EXPECT_TRUE(fs::exists(file("nearest")));
}

/// Rank 1 is killed after the first block; then the same command goes on.
TEST_F(RanksTest, GoOnAfterOneWasKilled) {
  const std::string flags = "--samples 48 --seq 256 --threads 1", recipe = "gptq+int4-g32";
  const std::string journal = file("killed") + ".journal";
  const Outcome killed =
      run_shell(command(2, "quantize assets/demo " + file("killed") + " -r " + recipe + " " + flags) +
                " & job=$!; while [ ! -d " + journal +
                "/block-0000 ] && kill -0 $job 2>/dev/null; do sleep 0.02; done\n"
                "for pid in $(cat /proc/$job/task/*/children); do\n"
                "  grep -qz OMPI_COMM_WORLD_RANK=1 /proc/$pid/environ && kill -9 $pid\n"
                "done; wait $job");
  EXPECT_NE(killed.code, 0);
  EXPECT_FALSE(fs::exists(file("killed")));
  ASSERT_TRUE(fs::exists(journal + "/block-0000"));
  EXPECT_EQ(count_of(killed.err, "bitloom: error: the run was stopped, or one of its 2 processes was lost"), 1)
      << killed.err;
  EXPECT_THAT(killed.err, HasSubstr("the same command goes on after block"));

  const Outcome alone = quantize(1, "killed", recipe, flags);
  EXPECT_EQ(alone.code, 2);
  EXPECT_THAT(alone.err, HasSubstr("ranks was 2, is 1"));
  const Outcome resumed = quantize(2, "killed", recipe, flags);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(count_of(resumed.err, "going on after block"), 1) << resumed.err;
  ASSERT_EQ(quantize(2, "whole", recipe, flags).code, 0);
  EXPECT_EQ(files_of(file("killed")), files_of(file("whole")));
}

TEST_F(RanksTest, FailTogetherWithOneMessage) {
  // Where only rank 0 fails; where all do; where the flags are wrong.
  std::ofstream(file("file")) << "no directory";
  for (const std::string& arguments :
       {"quantize assets/demo " + file("file") + "/out -r gptq+int4-g32 " + kFlags,
        "quantize assets/absent " + file("out") + " -r int4-g32", std::string("quantize assets/demo --colour")}) {
    const Outcome outcome = run_shell(command(2, arguments));
    EXPECT_NE(outcome.code, 0) << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_EQ(count_of(outcome.err, "bitloom: error: "), 1) << outcome.err;
  }
}

/// What fails on rank 1 alone is told by rank 0 and names rank 1.
TEST_F(RanksTest, NameTheRankThatFailed) {
  const Outcome outcome = run_shell(
      "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 sh -c 'model=assets/demo; "
      "[ $OMPI_COMM_WORLD_RANK = 1 ] && model=assets/absent; exec \"$BITLOOM\" quantize $model " +
      file("out") + " -r gptq+int4-g32 " + kFlags + "'");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(count_of(outcome.err, "bitloom: error: rank 1 of 2: assets/absent"), 1) << outcome.err;
  EXPECT_EQ(count_of(outcome.err, "bitloom: error: "), 1) << outcome.err;
}

TEST_F(RanksTest, RefuseDifferentModels) {
  fs::copy("assets/demo", file("demo"), fs::copy_options::recursive);
  std::fstream weights(file("demo") + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-1, std::ios::end);
  weights.put('\x3b');
  weights.close();
  const Outcome outcome = run_shell(
      "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 sh -c 'model=assets/demo; "
      "[ $OMPI_COMM_WORLD_RANK = 1 ] && model=" +
      file("demo") + "; exec \"$BITLOOM\" quantize $model " + file("out") + " -r gptq+int4-g32 " + kFlags + "'");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("rank 1 has another source model.safetensors than rank 0"));
}

}  // namespace
}  // namespace bitloom
