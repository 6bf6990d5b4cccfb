// SIGKILL at any moment loses time, never bytes.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "base/clock.h"
#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(directory).string()] = read_bytes(entry.path());
  }
  return files;
}

class Kill : public ::testing::Test {
 protected:
  Kill() {
    // Two blocks take a fraction of a second, of which reading the program and the model is the smaller part.
    model_.edit_json("config.json", [](nlohmann::json& config) { config["num_hidden_layers"] = 2; });
  }

  std::vector<std::string> command(const std::string& out) const {
    if (!command_.empty()) {
      std::vector<std::string> all = command_;
      all.insert(all.begin(), {"quantize", model_.path(), dir_.file(out)});
      return all;
    }
    return {"quantize",
            model_.path(),
            dir_.file(out),
            "-r",
            "smoothquant+gptaq+int4-g32",
            "--samples",
            "4",
            "--seq",
            "32",
            "--calib",
            "assets/demo/evaluation.txt",
            "--shard-size",
            "300K",
            "-t",
            "1"};
  }

  /// Kills the command when `until` says so; false when it ended before, which must be with success.
  template <typename Until>
  bool kill_when(const std::string& out, const Until& until) const {
    const pid_t child = start_bitloom(command(out));
    int status = 0;
    while (!until()) {
      if (waitpid(child, &status, WNOHANG) == child) {
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
        return false;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return WIFSIGNALED(status);
  }

  /// Kills a run for "out" when its journal holds `mark` ("": there is none yet) and `when(seconds)` says so; true if
  /// it had not come to `next` by then ("": to its output). One that had is begun again from nothing, some times.
  template <typename When>
  bool kill_in(const std::string& mark, const std::string& next, const When& when) const {
    const std::string journal = dir_.file("out.journal"), out = dir_.file("out");
    for (int tries = 0; tries < 20; ++tries) {
      const Stopwatch watch;
      const bool killed =
          kill_when("out", [&] { return (mark.empty() || fs::exists(journal + mark)) && when(watch.seconds()); });
      const bool too_far =
          fs::exists(out) || (mark.empty() && fs::exists(journal)) || (!next.empty() && fs::exists(journal + next));
      if (killed && !too_far) return true;
      fs::remove_all(journal), fs::remove_all(out);
    }
    return false;
  }

  double seconds_of_a_run(const std::string& out) const {
    const Stopwatch watch;
    EXPECT_FALSE(kill_when(out, [] { return false; }));
    return watch.seconds();
  }

  ModelCopy model_;
  TempDir dir_;
  std::vector<std::string> command_;  // what follows the names; empty: the usual
};

// Moments are pseudo-random shares of the time that a whole run takes here and now; those that go on after a kill have
// less to do, so runs that end by themselves are begun again from nothing.
TEST_F(Kill, ThirtyTimes) {
  seconds_of_a_run("warm");
  const double whole = seconds_of_a_run("expected");
  const auto expected = files_of(dir_.file("expected"));
  std::mt19937 random(20240601);
  std::uniform_real_distribution<double> share(0.02, 0.98);
  int kills = 0, completed = 0, went_on = 0;
  for (int runs = 0; kills < 30 && runs < 300; ++runs) {
    went_on += fs::exists(dir_.file("out.journal/block-0000"));
    const Stopwatch watch;
    const double moment = share(random) * whole;
    // Every other time not before there is something to go on from, however slow the machine.
    const bool waits = kills % 2 == 1;
    const bool killed = kill_when("out", [&] {
      return watch.seconds() >= moment && (!waits || fs::exists(dir_.file("out.journal/block-0000")));
    });
    kills += killed;
    if (!fs::exists(dir_.file("out"))) continue;
    // Complete, whether or not the journal was gone when the kill came.
    ++completed;
    EXPECT_EQ(files_of(dir_.file("out")), expected);
    fs::remove_all(dir_.file("out"));
  }
  EXPECT_EQ(kills, 30);
  EXPECT_GT(went_on, 3);
  if (!fs::exists(dir_.file("out"))) seconds_of_a_run("out");
  EXPECT_EQ(files_of(dir_.file("out")), expected);
  EXPECT_FALSE(fs::exists(dir_.file("out.journal")));
  EXPECT_FALSE(fs::exists(dir_.file("out.partial")));
  RecordProperty("completed", completed);
}

// In the last phase: as soon as the unfinished output, its first or its last file, is there.
TEST_F(Kill, WhileWriting) {
  seconds_of_a_run("expected");
  const auto expected = files_of(dir_.file("expected"));
  int kills = 0;
  for (const std::string file : {"", "/model-00001-of-00008.safetensors", "/config.json", "/bitloom.json"}) {
    kills += kill_when("out", [&] { return fs::exists(dir_.file("out.partial" + file)); });
    if (fs::exists(dir_.file("out"))) fs::remove_all(dir_.file("out"));
  }
  EXPECT_GT(kills, 0);
  seconds_of_a_run("out");
  EXPECT_EQ(files_of(dir_.file("out")), expected);
}

// A whole house recipe within a size: bits allocated, gradients, rounding, distillation. Killed in each of these.
TEST_F(Kill, AllocatedAndDistilled) {
  write_bytes(dir_.file("r.yaml"),
              "name: r\nsteps:\n  - quantize: trellis2-l12+frame-in64-out64-inscales-outscales\n"
              "    rounding: {ldlq: {two-sided: true, drift: 1}}\n  - transform: {distill: {epochs: 1}}\n");
  command_ = {"-r",      dir_.file("r.yaml"),          "--bpw", "3.5", "--samples", "12", "--seq", "64",
              "--calib", "assets/demo/evaluation.txt", "-t",    "1"};
  seconds_of_a_run("expected");
  const auto expected = files_of(dir_.file("expected"));
  const auto size = static_cast<double>(fs::file_size(dir_.file("expected/model.safetensors")));
  const auto weights = static_cast<double>(run_json({"info", model_.path()}).at("parameters").get<int64_t>());
  EXPECT_LE(8 * size, 3.5 * weights);
  EXPECT_GE(8 * size, 0.995 * 3.5 * weights);
  // Bits are allocated before there is a journal.
  const Stopwatch watch;
  ASSERT_TRUE(kill_when("probe", [&] { return fs::exists(dir_.file("probe.journal")); }));
  const double allocated = watch.seconds();
  EXPECT_TRUE(kill_in("", "", [&](double seconds) { return seconds > allocated / 2; }));
  // Each phase ends with what the next begins from.
  const std::vector<std::string> marks = {"/identity.json", "/moments", "/block-0000", "/block-0001",
                                          "/tuning.safetensors"};
  for (size_t m = 0; m < marks.size(); ++m) {
    const std::string next = m + 1 < marks.size() ? marks[m + 1] : "";
    EXPECT_TRUE(kill_in(marks[m], next, [](double) { return true; })) << marks[m];
  }
  seconds_of_a_run("out");
  EXPECT_EQ(files_of(dir_.file("out")), expected);
  EXPECT_FALSE(fs::exists(dir_.file("out.journal")));
}

}  // namespace
}  // namespace bitloom::testing
