// `bitloom tune`: an adapter on a frozen model, as a user trains, judges and loses one half-way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kText = "assets/demo/calibration.txt";
constexpr const char* kOther = "assets/demo/evaluation.txt";

/// The demo's first block alone, in two bits, and a text of some 40 windows.
class Tune : public ::testing::Test {
 protected:
  Tune() {
    model_.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 1; });
    write_file(text(), read_bytes(kText).substr(0, 8000));
    run_json({"quantize", model_.path(), base(), "-r", "int2-g64-asym"});
  }
  std::string base() const { return dir_.file("base"); }
  std::string text() const { return dir_.file("text.txt"); }
  /// With `flags` in place of those of the same name.
  std::vector<std::string> command(const std::string& out, const std::vector<std::string>& flags = {}) const {
    std::vector<std::string> all = {"tune", base(), "-o", out, "-t", "1"};
    const auto given = [&](const std::string& name) {
      return std::find(flags.begin(), flags.end(), name) != flags.end();
    };
    for (const auto& [name, value] :
         std::map<std::string, std::string>{{"--text", text()}, {"--rank", "4"}, {"--seq", "32"}, {"--lr", "0.01"}}) {
      if (!given(name)) all.insert(all.end(), {name, value});
    }
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  void expect_refusal(const std::vector<std::string>& flags, int code, const std::vector<std::string>& parts) const {
    const std::string out = dir_.file("never");
    Outcome outcome = run_bitloom(command(out, flags));
    if (outcome.err.starts_with("text: ")) outcome.err.erase(0, outcome.err.find('\n') + 1);
    expect_error(outcome, code, parts);
    EXPECT_FALSE(fs::exists(out));
  }
  ModelCopy model_;
  TempDir dir_;
};

TEST_F(Tune, LearnsWhatEvalSees) {
  const std::string out = dir_.file("lora");
  const json tuned = run_json(command(out, {"--steps", "12"}));
  EXPECT_EQ(tuned.at("steps"), 12);
  EXPECT_LT(tuned.at("loss_after"), tuned.at("loss_before"));
  const auto loss = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = {"eval", "ppl", base(), "--text", kOther, "-c", "32", "--windows", "20"};
    all.insert(all.end(), flags.begin(), flags.end());
    return run_json(all).at("nll").get<double>();
  };
  EXPECT_LT(loss({"--adapter", out}), loss({}));
  // On from there, onto the same base.
  const json more = run_json({"tune", base(), "--adapter", out, "--text", text(), "-o", dir_.file("more"), "--seq",
                              "32", "--lr", "0.001", "--steps", "4"});
  EXPECT_NEAR(more.at("loss_before").get<double>(), tuned.at("loss_after").get<double>(), 1e-9);
}

TEST_F(Tune, SaysWhatItWouldTake) {
  const json forecast = run_json(command(dir_.file("never"), {"--dry-run"}));
  EXPECT_GT(forecast.at("memory"), 1 << 20);
  EXPECT_GT(forecast.at("steps"), 3);
  EXPECT_FALSE(fs::exists(dir_.file("never")));
}

TEST_F(Tune, RefusesWhatMakesNoSense) {
  expect_refusal({"--adapter", "x"}, 2, {"one of: --adapter DIR", "--rank N"});
  expect_refusal({"--targets", "q_poj"}, 2, {"--targets 'q_poj' (did you mean 'q_proj'?)"});
  expect_refusal({"--rank", "0"}, 2, {"--rank"});
  expect_refusal({"--epochs", "1001"}, 2, {"--epochs", "'1001' is no integer from 1 to 1000"});
  expect_refusal({"--validation", "0.01"}, 2, {"leaves none to measure on"});
  write_file(dir_.file("short.txt"), "Once upon a time.");
  expect_refusal({"--text", dir_.file("short.txt")}, 3, {"short.txt: too little text: it has ", "a window takes 32"});
  expect_refusal({"--mem", "1M"}, 1, {"--mem 1.00 MiB is too little to tune this adapter"});
  // Models of which no adapter is read either, or whose gradients would not be those of what runs.
  const auto refused = [&](const std::string& recipe, const std::string& why) {
    const std::string model = dir_.file(recipe.substr(0, recipe.find('+')));
    run_json({"quantize", model_.path(), model, "-r", recipe, "--samples", "2", "--seq", "16"});
    Outcome outcome = run_bitloom({"tune", model, "--text", text(), "-o", dir_.file("never"), "--rank", "4"});
    if (outcome.err.starts_with("text: ")) outcome.err.erase(0, outcome.err.find('\n') + 1);
    expect_error(outcome, 2, {why});
  };
  refused("hadamard+int4-g64", "rewrote its weights before they were rounded");
  refused("w8a8-int", "self_attn.q_proj.weight' reads is rounded to int8-token");
}

// SIGKILL after a measurement loses time, never bytes.
TEST_F(Tune, GoesOnAfterAKill) {
  const std::vector<std::string> flags = {"--epochs", "4"};
  run_json(command(dir_.file("whole"), flags));
  const std::string out = dir_.file("out"), checkpoint = out + ".tuning.safetensors";
  for (int attempt = 0; attempt < 5 && !fs::exists(checkpoint); ++attempt) {  // on a busy machine it may be done first
    fs::remove_all(out);
    const pid_t child = start_bitloom(command(out, flags));
    while (!fs::exists(checkpoint) && !fs::exists(out)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  ASSERT_FALSE(fs::exists(out));
  const Outcome rest = run_bitloom(command(out, flags));
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("tune: going on after step "));
  for (const char* file : {"adapter_model.safetensors", "adapter_config.json", "tuning.json"}) {
    EXPECT_EQ(read_bytes(out + "/" + file), read_bytes(dir_.file("whole") + "/" + file)) << file;
  }
  EXPECT_FALSE(fs::exists(checkpoint));
}

}  // namespace
}  // namespace bitloom::testing
