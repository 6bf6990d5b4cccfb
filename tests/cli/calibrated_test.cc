// `bitloom quantize` with recipes that look at data: flags, refusals, forecasts, and what goes on after an
// interruption.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

/// The demo's first block alone, and a short text.
class Calibrated : public ::testing::Test {
 protected:
  Calibrated() {
    model_.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 1; });
  }

  std::vector<std::string> command(const std::vector<std::string>& flags, const std::string& recipe = "gptq+int4-g32") {
    std::vector<std::string> all = {"quantize",  model_.path(), out(),   "--recipe", recipe,
                                    "--samples", "2",           "--seq", "16"};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  Outcome run(const std::vector<std::string>& flags, const std::string& recipe = "gptq+int4-g32") {
    return run_bitloom(command(flags, recipe));
  }
  /// Expects an error that follows the line that says what is calibrated on.
  static void expect_late_error(Outcome outcome, int code, const std::vector<std::string>& parts) {
    EXPECT_EQ(outcome.err.rfind("calibration: ", 0), 0u) << outcome.err;
    outcome.err.erase(0, outcome.err.find('\n') + 1);
    expect_error(outcome, code, parts);
  }
  std::string out() const { return dir_.file("out"); }
  void nothing_is_left() const { EXPECT_TRUE(fs::is_empty(dir_.path())); }

  ModelCopy model_;
  TempDir dir_, text_;
};

TEST_F(Calibrated, WarnsOfSequencesThatTheModelWasNotMadeFor) {
  const Outcome outcome =
      run_bitloom({"quantize", "assets/demo", out(), "-r", "gptq+int4-g64", "--samples", "1", "--seq", "257"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("warning: sequences of 257 tokens (--seq) are longer than the context of 256 that "
                                     "assets/demo was made for"));
}

/// Storages of the papers' own go through the main job like any other; their bits are those of the files.
TEST_F(Calibrated, RecipesOfPapersAreWrittenVerifiedJudgedAndRun) {
  for (const char* recipe : {"hqq-2", "spqr-3", "slim-2", "onebit-svid", "claq-2.12", "billm-arb", "pb-1.7"}) {
    SCOPED_TRACE(recipe);
    const Outcome outcome = run({"--json", "--restart"}, recipe);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(run_json({"verify", out()}).at("ok"), true);
    const json info = run_json({"info", out()});
    double bytes = 0;
    for (const auto& entry : fs::directory_iterator(out())) {
      if (entry.path().extension() == ".safetensors") bytes += static_cast<double>(fs::file_size(entry.path()));
    }
    const double of_tensors = info.at("bytes").get<double>(), header = 1 << 14;
    EXPECT_GE(bytes, of_tensors);
    EXPECT_LE(bytes, of_tensors + header);
    const json judged =
        run_json({"eval", "ppl", out(), "--text", "assets/demo/evaluation.txt", "-c", "64", "--windows", "2"});
    EXPECT_GT(judged.at("nll").get<double>(), 0);
    EXPECT_FALSE(run_json({"run", out(), "-p", "once upon", "-n", "4", "--temp", "0"}).at("ids").empty());
    fs::remove_all(out());
  }
}

TEST_F(Calibrated, WritesAndVerifies) {
  const Outcome outcome = run({});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("calibration: built-in mixed text"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("warning: sequences")));
  EXPECT_EQ(run_json({"verify", out()}).at("ok"), true);
  expect_error(run({}), 2, {out(), "exists; --force replaces it"});
  EXPECT_FALSE(fs::exists(out() + ".journal"));
}

TEST_F(Calibrated, NoTableWithoutRows) {
  EXPECT_THAT(run({}, "awq:steps=2+int4-g32").out, ::testing::Not(HasSubstr("worst output error")));
}

TEST_F(Calibrated, SameRunTwiceSameManifest) {
  ASSERT_EQ(run({"--activations", "bf16", "--order", "block"}).code, 0);
  const std::string first = read_bytes(dir_.file("out/bitloom.json"));
  ASSERT_EQ(run({"--activations", "bf16", "--order", "block", "--force", "-t", "1"}).code, 0);
  EXPECT_EQ(read_bytes(dir_.file("out/bitloom.json")), first);
  const json record = json::parse(first).at("calibration");
  EXPECT_EQ(record.at("order"), "block");
  EXPECT_EQ(record.at("activations"), "BF16");
  EXPECT_EQ(record.at("samples"), 2);
  EXPECT_EQ(record.at("tokens"), 32);
  EXPECT_EQ(record.at("source"), "built-in mixed text");
}

TEST_F(Calibrated, TooLittleText) {
  write_bytes(text_.file("short.txt"), "A few words.\n");
  const Outcome outcome = run({"--calib", text_.file("short.txt")});
  expect_error(outcome, 3, {text_.file("short.txt"), "tokens", "32", "missing"});
  nothing_is_left();
}

TEST_F(Calibrated, TextThatIsNoUtf8) {
  write_bytes(text_.file("latin1.txt"), std::string("caf\xe9 ") + std::string(4000, 'a'));
  expect_error(run({"--calib", text_.file("latin1.txt")}), 3, {text_.file("latin1.txt"), "UTF-8", "3"});
  expect_error(run({"--calib", text_.file("none.txt")}), 3, {text_.file("none.txt")});
  nothing_is_left();
}

TEST_F(Calibrated, MisspeltChoices) {
  expect_error(run({"--order", "blok"}), 2, {"order 'blok'", "'block'", "allowed: sequential, block, none"});
  expect_error(run({"--activations", "bf61"}), 2, {"--activations 'bf61'", "'bf16'", "allowed: fp32, bf16"});
  expect_error(run({"--calib-rule", "paked"}), 2, {"sampling rule 'paked'", "'packed'", "allowed: gptq, packed, rows"});
  expect_error(run({"--calib-format", "plian"}), 2, {"calibration format 'plian'", "'plain'", "jsonl:FIELD"});
  expect_error(run({"--mem", "much"}), 2, {"--mem", "much"});
  expect_error(run({"--samples", "0"}), 2, {"--samples"});
  nothing_is_left();
}

TEST_F(Calibrated, TooLittleMemory) {
  expect_late_error(run({"--mem", "1M"}), 1, {"--mem 1.00 MiB is too little", "at least", "activations in a file"});
  nothing_is_left();
}

TEST_F(Calibrated, DataThatIsNotUsedIsMentioned) {
  write_bytes(text_.file("t.txt"), "A few words.\n");
  const Outcome outcome = run({"--calib", text_.file("t.txt")}, "int4-g32");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("--calib is not used: recipe 'int4-g32' looks at no data"));
}

TEST_F(Calibrated, HeadByDataIsRefused) {
  write_bytes(text_.file("r.yaml"), "steps: [{quantize: int4-g32, rounding: gptq, targets: ['*', head]}]\n");
  expect_late_error(run({}, text_.file("r.yaml")), 2, {"model.embed_tokens.weight", "rounding nearest"});
  nothing_is_left();
}

TEST_F(Calibrated, DryRunForecasts) {
  const json forecast = run_json(command({"--dry-run"}));
  for (const char* key : {"output_bytes", "memory", "memory_allowed", "disk", "disk_free", "seconds"})
    EXPECT_GT(forecast.at(key), 0) << key;
  EXPECT_EQ(forecast.at("fits"), true);
  EXPECT_EQ(forecast.at("spills"), false);
  ASSERT_EQ(forecast.at("blocks").size(), 1u);
  EXPECT_LE(forecast.at("blocks")[0].at("memory"), forecast.at("memory"));
  EXPECT_GT(forecast.at("blocks")[0].at("seconds"), 0.0);
  const Outcome text = run({"--dry-run"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, HasSubstr("fits    yes"));
  nothing_is_left();

  const Outcome tight = run({"--dry-run", "--mem", "1M"});
  EXPECT_EQ(tight.code, 1);
  EXPECT_THAT(tight.out, HasSubstr("fits    no"));
  EXPECT_THAT(tight.err, HasSubstr("bitloom: error: the run would not fit"));
  nothing_is_left();

  // What is written then is what was announced, text files aside.
  ASSERT_EQ(run({}).code, 0);
  const auto weights = static_cast<double>(fs::file_size(dir_.file("out/model.safetensors")));
  EXPECT_NEAR(forecast.at("output_bytes").get<double>(), weights, 20000);
}

TEST_F(Calibrated, JournalOfAnotherVersionOrRun) {
  fs::create_directories(out() + ".journal/block-0000");
  write_bytes(out() + ".journal/identity.json", R"({"journal": 0, "bitloom": "0.0.0"})");
  expect_late_error(run({}), 2, {"journal was 0, is ", "bitloom was \"0.0.0\", is", "--restart"});
  EXPECT_EQ(run({"--restart"}).code, 0);
  EXPECT_FALSE(fs::exists(out() + ".journal"));
}

TEST_F(Calibrated, TwoRunsOnOneOutput) {
  fs::create_directories(out() + ".journal");
  const Outcome outcome = run_shell("exec 9> " + out() + ".journal/lock; flock 9; \"$BITLOOM\" quantize " +
                                    model_.path() + " " + out() + " --samples 2 --seq 16");
  expect_late_error(outcome, 2, {out(), "is being made by another run", "out.journal/lock"});
}

TEST_F(Calibrated, AnInterruptionBeforeTheFirstBlockLeavesNothing) {
  // The signal is sent when the journal is there.
  const Outcome outcome = run_shell(
      "\"$BITLOOM\" quantize " + model_.path() + " " + out() +
      " -r adaround:iterations=400+int4-g32 --samples 2 --seq 16 & child=$!; while kill -0 $child && ! [ -e " + out() +
      ".journal/identity.json ]; do :; done; kill -INT $child; wait $child");
  // A shell's background jobs ignore SIGINT until they ask for it, as the program does.
  EXPECT_EQ(outcome.code, 128 + 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("interrupted"));
  nothing_is_left();
  ASSERT_EQ(run({}).code, 0) << "another recipe needs no --restart";
}

}  // namespace
}  // namespace bitloom::testing
