// The main job through the program, on the model that comes with it: quantize, judge, run, look.

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <regex>
#include <sstream>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kText = "assets/demo/evaluation.txt";

// Quantized once for all tests of this file.
class Verbs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = std::make_unique<TempDir>();
    record_ = run_json({"quantize", "assets/demo", model(), "--recipe", "int4-g32"});
  }
  static void TearDownTestSuite() { dir_.reset(); }
  static std::string model() { return dir_->file("int4"); }

  static std::unique_ptr<TempDir> dir_;
  static json record_;
};

std::unique_ptr<TempDir> Verbs::dir_;
json Verbs::record_;

// int4-g32 with fp16 scales: 4 + 16 / 32 bits, and all widths of the demo are multiples of 32 and even.
TEST_F(Verbs, QuantizeCountsBits) {
  EXPECT_DOUBLE_EQ(record_.at("bits_nominal"), 4.5);
  EXPECT_DOUBLE_EQ(record_.at("bits_true"), 4.5);
  EXPECT_EQ(record_.at("bytes"), fs::file_size(model() + "/model.safetensors"));
  EXPECT_EQ(record_.at("recipe").at("name"), "int4-g32");
}

TEST_F(Verbs, QuantizeShards) {
  const TempDir dir;
  const json record =
      run_json({"quantize", "assets/demo", dir.file("out"), "--recipe", "int8-row", "--shard-size", "1M"});
  EXPECT_TRUE(fs::exists(dir.file("out/model.safetensors.index.json")));
  EXPECT_EQ(run_json({"verify", dir.file("out")}).at("ok"), true);
  EXPECT_GT(record.at("bytes"), 1000000);
}

// Matrices that a recipe leaves as the source has them were not rounded, so there is no error to show.
TEST_F(Verbs, QuantizeShowsNoErrorOfMatricesTakenOver) {
  const TempDir dir;
  write_bytes(dir.file("down.yaml"), "version: 1\nname: down\nsteps:\n  - quantize: int8-row\n    targets: [down]\n");
  const Outcome outcome = run_bitloom({"quantize", model(), dir.file("out"), "--recipe", dir.file("down.yaml")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::regex taken(R"(\n *int4-g32 +taken over( +\S+){5}( +-){4} *\n)");
  const std::regex rounded(R"(\n *int8-row +nearest( +\S+){5}( +[0-9.e-]*[0-9][0-9.e-]*){4} *\n)");
  EXPECT_TRUE(std::regex_search(outcome.out, taken)) << outcome.out;
  EXPECT_TRUE(std::regex_search(outcome.out, rounded)) << outcome.out;
}

TEST_F(Verbs, SameBytesForAnyNumberOfThreads) {
  const TempDir dir;
  run_json({"quantize", "assets/demo", dir.file("one"), "--recipe", "int4-g32", "--threads", "1"});
  EXPECT_EQ(read_bytes(dir.file("one/model.safetensors")), read_bytes(model() + "/model.safetensors"));
}

TEST_F(Verbs, EvalPpl) {
  const json original = run_json({"eval", "ppl", "assets/demo", "--text", kText, "--windows", "6"});
  const json quantized = run_json({"eval", "ppl", model(), "--text", kText, "--windows", "6"});
  EXPECT_EQ(original.at("protocol"), "gptq");
  EXPECT_EQ(original.at("context"), 256);
  EXPECT_EQ(original.at("tokens"), 6 * 255);
  EXPECT_EQ(original.at("text_sha256").get<std::string>().size(), 64u);
  EXPECT_EQ(original.at("tokenizer_sha256"), quantized.at("tokenizer_sha256"));
  EXPECT_NEAR(original.at("ppl").get<double>(), std::exp(original.at("nll").get<double>()), 1e-9);
  // The model's README: 14.6 to 18.6 a token on held-out stories; six windows of them, so a wide margin.
  EXPECT_GT(original.at("ppl"), 10);
  EXPECT_LT(original.at("ppl"), 30);
  EXPECT_GT(quantized.at("ppl"), original.at("ppl"));
  EXPECT_LT(quantized.at("ppl"), 1.2 * original.at("ppl").get<double>());
}

TEST_F(Verbs, EvalPplProtocols) {
  const json llamacpp =
      run_json({"eval", "ppl", "assets/demo", "--text", kText, "--windows", "2", "--protocol", "llamacpp"});
  EXPECT_EQ(llamacpp.at("protocol"), "llamacpp");
  EXPECT_EQ(llamacpp.at("tokens"), 2 * 127);  // tokens 129 .. 255 of each window
  const json rolling =
      run_json({"eval", "ppl", "assets/demo", "--text", kText, "--windows", "2", "--protocol", "rolling"});
  EXPECT_EQ(rolling.at("tokens"), 2 * 256);
}

TEST_F(Verbs, EvalPplWarnsBeyondTheModelsContext) {
  const Outcome outcome = run_bitloom({"eval", "ppl", "assets/demo", "--text", kText, "-c", "300", "--windows", "1"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("warning: a context of 300 is longer than the 256"), std::string::npos) << outcome.err;
}

TEST_F(Verbs, EvalTasks) {
  const TempDir dir;
  const json record = run_json({"eval", "tasks", "assets/demo", "--tasks", "story_endings,tasks/story_endings.yaml",
                                "--limit", "8", "--shots", "1", "--items", dir.file("items.jsonl")});
  ASSERT_EQ(record.at("tasks").size(), 2u);
  const json& task = record.at("tasks").at(0);
  EXPECT_EQ(task.at("items"), 8);
  EXPECT_EQ(task.at("shots"), 1);
  EXPECT_EQ(task.at("data_sha256").get<std::string>().size(), 64u);
  EXPECT_EQ(record.at("tokenizer_sha256").get<std::string>().size(), 64u);
  EXPECT_EQ(task.at("metrics"), record.at("tasks").at(1).at("metrics"));
  std::istringstream lines(read_bytes(dir.file("items.jsonl")));
  double right = 0, count = 0;
  for (std::string line; std::getline(lines, line) && count < 8; ++count) {
    const json item = json::parse(line);
    EXPECT_EQ(item.at("item"), count);
    EXPECT_EQ(item.at("options").size(), 2u);
    right += item.at("metrics").at("acc").at("value").get<double>();
  }
  EXPECT_EQ(task.at("metrics").at("acc").at("value"), right / 8);
}

TEST_F(Verbs, EvalTasksOfABrokenRecord) {
  const TempDir dir;
  write_bytes(dir.file("story_endings.jsonl"), R"({"query": "q", "choices": ["a", "b"]})");
  expect_error(run_bitloom({"eval", "tasks", model(), "--tasks", "story_endings", "--data", dir.path()}), 3,
               {dir.file("story_endings.jsonl") + ":1: field 'gold' is missing"});
}

TEST_F(Verbs, EvalKlAgainstAModelAndAFile) {
  const std::string file = dir_->file("original.ref");
  const json saved = run_json({"eval", "kl", "assets/demo", "--save-ref", file, "--text", kText, "--windows", "4"});
  EXPECT_EQ(saved.at("saved"), file);
  const json direct = run_json({"eval", "kl", model(), "--ref", "assets/demo", "--text", kText, "--windows", "4"});
  const json filed = run_json({"eval", "kl", model(), "--ref", file, "--text", kText, "--windows", "4"});
  EXPECT_EQ(direct.at("tokens"), 4 * 255);
  EXPECT_GT(direct.at("kl_mean"), 0);
  EXPECT_LE(direct.at("kl_ci95").at(0), direct.at("kl_mean"));
  EXPECT_GE(direct.at("kl_ci95").at(1), direct.at("kl_mean"));
  EXPECT_GT(direct.at("top1"), 0.8);
  EXPECT_LE(direct.at("top1"), 1.0);
  // The file keeps log-probabilities with less precision than fp32.
  EXPECT_NEAR(filed.at("kl_mean").get<double>(), direct.at("kl_mean").get<double>(),
              0.02 * direct.at("kl_mean").get<double>());
  expect_error(run_bitloom({"eval", "kl", model(), "--ref", file, "--text", kText, "--windows", "3"}), 3, {file});
}

TEST_F(Verbs, EvalKlOfAModelToItselfIsZero) {
  const json same = run_json({"eval", "kl", "assets/demo", "--ref", "assets/demo", "--text", kText, "--windows", "1"});
  EXPECT_EQ(same.at("kl_mean"), 0);
  EXPECT_EQ(same.at("top1"), 1);
}

TEST_F(Verbs, RunStreamsTextAndRepeatsItself) {
  const std::vector<std::string> command = {"run", model(), "-p", "Once upon a time", "-n", "20", "--seed", "3"};
  const Outcome outcome = run_bitloom(command);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("tokens/s"), std::string::npos);
  const json record = run_json(command);
  EXPECT_EQ(record.at("text").get<std::string>() + "\n", outcome.out);
  EXPECT_EQ(record.at("ids").size(), 20u);
  EXPECT_GT(record.at("tokens_per_second"), 0);
  // The line break at the end of a pipe is none of the prompt; a second one is.
  EXPECT_EQ(run_json({"run", model(), "-f", "-", "-n", "1"}, "Once upon a time\n").at("prompt"), "Once upon a time");
  EXPECT_EQ(run_json({"run", model(), "-f", "-", "-n", "1"}, "Once\n\n").at("prompt"), "Once\n");
  EXPECT_EQ(run_json({"run", model(), "-p", "Once\n", "-n", "1"}).at("prompt"), "Once\n");
  EXPECT_EQ(run_json({"run", model(), "-f", "-", "-n", "20", "--seed", "3"}, "Once upon a time").at("text"),
            record.at("text"));
}

TEST_F(Verbs, RunGuessesByLookup) {
  std::vector<std::string> command = {"run", model(), "-p", "The cat sat. The cat sat. The", "-n", "40", "--temp", "0"};
  const json plain = run_json(command);
  EXPECT_EQ(plain.at("guessed_tokens"), 0);
  command.insert(command.end(), {"--lookup", "3"});
  const json record = run_json(command);
  EXPECT_EQ(record.at("ids"), plain.at("ids"));
  EXPECT_GT(record.at("accepted_tokens"), 0);
  EXPECT_GE(record.at("guessed_tokens"), record.at("accepted_tokens"));
  command.back() = "8";
  expect_error(run_bitloom(command), 2, {"--lookup", "8", "0 to 3"});
}

TEST_F(Verbs, RunTakesPromptsThatLookLikeFlags) {
  for (const std::string prompt : {"--json", "-5 apples", "[a, b]", "a \"quoted\" word"})
    EXPECT_EQ(run_json({"run", model(), "-p", prompt, "-n", "1"}).at("prompt"), prompt);
}

TEST_F(Verbs, TokenizeThereAndBack) {
  const std::string text = "Once upon a time, a café 日本🙂.";
  const json record = run_json({"tokenize", "assets/demo", "-p", text});
  EXPECT_EQ(record.at("ids").size(), record.at("tokens").size());
  const Outcome ids = run_bitloom({"tokenize", "assets/demo", "-f", "-", "--no-special"}, text);
  EXPECT_EQ(ids.code, 0) << ids.err;
  EXPECT_EQ(run_bitloom({"tokenize", "assets/demo", "--decode", "-f", "-"}, ids.out).out, text + "\n");
  EXPECT_EQ(run_json({"tokenize", "assets/demo", "--decode", "-f", "-"}, record.at("ids").dump()).at("ids"),
            record.at("ids"));
}

TEST_F(Verbs, InfoOfOriginalAndQuantized) {
  const json original = run_json({"info", "assets/demo"});
  EXPECT_EQ(original.at("architecture"), "llama");
  EXPECT_EQ(original.at("vocabulary"), 4096);
  EXPECT_EQ(original.at("context"), 256);
  EXPECT_EQ(original.at("tied_head"), true);
  EXPECT_DOUBLE_EQ(original.at("bits_true"), 16.0);
  EXPECT_FALSE(original.contains("manifest"));
  const json quantized = run_json({"info", model()});
  EXPECT_EQ(quantized.at("parameters"), original.at("parameters"));
  EXPECT_EQ(quantized.at("manifest").at("recipe").at("name"), "int4-g32");
  EXPECT_LT(quantized.at("bits_true"), 12);
}

// What info foretells is what quantize makes.
TEST_F(Verbs, InfoForetellsTheSize) {
  const json info = run_json({"info", "assets/demo"}), made = run_json({"info", model()});
  for (const json& format : info.at("formats"))
    if (format.at("name") == "int4-g32") {
      EXPECT_EQ(format.at("bytes"), made.at("bytes"));
      EXPECT_DOUBLE_EQ(format.at("bits_true"), 4.5);
      return;
    }
  FAIL() << "int4-g32 is not among the formats of info";
}

TEST_F(Verbs, FormatInFull) {
  const json record = run_json({"formats", "e2m1"});
  ASSERT_EQ(record.at("codes").size(), 16u);
  EXPECT_EQ(record.at("codes").at(7).at("value"), 6);  // OCP MX 1.0, table 5: S EE M = 0 11 1 is 6
  EXPECT_EQ(record.at("codes").at(1).at("value"), 0.5);
  EXPECT_EQ(record.at("max"), 6);
  EXPECT_GT(run_json({"formats"}).at("formats").size(), 20u);
}

// The page on floating-point formats, 7.4: INT8 beats E4M3 by 9 dB on normal numbers, E4M3 INT8 by 5 on outliers.
TEST_F(Verbs, FormatsTellExpectedErrors) {
  const TempDir dir;
  const json normal = run_json({"formats", "int8", "e4m3", "--sqnr", "gaussian", "--plot", dir.file("plot.svg")});
  EXPECT_NEAR(normal.at("formats").at(0).at("sqnr_db").get<double>(), 40.57, 0.005);
  EXPECT_NEAR(normal.at("formats").at(1).at("sqnr_db").get<double>(), 31.56, 0.005);
  const json outliers = run_json({"formats", "int8", "e4m3", "--sqnr", "outliers"});
  EXPECT_NEAR(outliers.at("formats").at(0).at("sqnr_db").get<double>(), 26.12, 0.005);
  EXPECT_NEAR(outliers.at("formats").at(1).at("sqnr_db").get<double>(), 31.55, 0.005);
  for (const json& format : normal.at("formats")) {
    const json& curve = format.at("sqnr_db_at_clips");
    ASSERT_EQ(curve.size(), normal.at("clips").size());
    const auto top = std::max_element(curve.begin(), curve.end());
    EXPECT_LE(top->get<double>(), format.at("sqnr_db").get<double>() + 1e-9);
    EXPECT_GT(top->get<double>(), format.at("sqnr_db").get<double>() - 0.2);
  }
  const std::string svg = read_bytes(dir.file("plot.svg"));
  EXPECT_NE(svg.find("int8</text>"), std::string::npos) << svg.substr(0, 2000);
}

// The tensor of a model and of its file are the same numbers; steps of int8 at the best clip err by their
// square / 12, clipping adds less than half of that.
TEST_F(Verbs, FormatsTellErrorsOfATensor) {
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  const json of_model = run_json({"formats", "int8", "e2m1", "--sqnr", "assets/demo:" + name});
  const json of_file = run_json({"formats", "int8", "e2m1", "--sqnr", "assets/demo/model.safetensors:" + name});
  EXPECT_EQ(of_model.at("formats"), of_file.at("formats"));
  const json& int8 = of_model.at("formats").at(0);
  const double step = int8.at("best_clip").get<double>() / 127;
  EXPECT_GT(int8.at("mse").get<double>(), 0.98 * step * step / 12);
  EXPECT_LT(int8.at("mse").get<double>(), 1.5 * step * step / 12);
  EXPECT_GT(int8.at("sqnr_db"), of_model.at("formats").at(1).at("sqnr_db"));
  expect_error(run_bitloom({"formats", "--sqnr", "assets/demo:model.norm.weigh"}), 3,
               {"assets/demo: no tensor 'model.norm.weigh'", "did you mean 'model.norm.weight'?"});
}

/// A file of the F32 tensor "ones" of two ones.
std::string file_of_ones() {
  const std::string header = R"({"ones":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  for (const char c : header) bytes += c;
  return bytes + std::string("\0\0\x80\x3f\0\0\x80\x3f", 8);
}

TEST_F(Verbs, FormatsTellOfNoErrorAtAll) {
  const TempDir dir;
  write_bytes(dir.file("a.safetensors"), file_of_ones());
  const json record = run_json({"formats", "e2m1", "--sqnr", dir.file("a.safetensors") + ":ones"});
  const json& format = record.at("formats").at(0);
  EXPECT_EQ(format.at("mse"), 0);
  EXPECT_EQ(format.at("sqnr_db"), "inf");
  EXPECT_EQ(format.at("products_sqnr_db"), "inf");
  const json &clips = record.at("clips"), &curve = format.at("sqnr_db_at_clips");
  const auto one = std::find(clips.begin(), clips.end(), json(1.0));
  ASSERT_NE(one, clips.end());
  EXPECT_EQ(curve.at(static_cast<size_t>(one - clips.begin())), "inf");
}

TEST_F(Verbs, FormatsWantADistributionAndAPlaceForThePlot) {
  expect_error(run_bitloom({"formats", "int8", "--sqnr", ""}), 2, {"--sqnr: '' is no distribution", "gaussian"});
  // Before the tensor, which there is not.
  expect_error(run_bitloom({"formats", "int8", "--sqnr", "assets/demo:none", "--plot", "/nowhere/x.svg"}), 1,
               {"/nowhere/x.svg: cannot write the plot"});
}

TEST_F(Verbs, RecipesPrintAndReadBack) {
  EXPECT_GT(run_json({"recipes"}).at("recipes").size(), 0u);
  const Outcome yaml = run_bitloom({"recipes", "int3-g64-asym"});
  EXPECT_EQ(yaml.code, 0) << yaml.err;
  const TempDir dir;
  write_bytes(dir.file("again.yaml"), yaml.out);
  EXPECT_EQ(run_bitloom({"recipes", dir.file("again.yaml")}).out, yaml.out);
}

TEST_F(Verbs, RecipesAreExplained) {
  const std::string grid = run_bitloom({"recipes", "gptq+int4-g128", "-m", "assets/demo"}).out;
  EXPECT_NE(grid.find("# needs calibration text: second moments"), std::string::npos) << grid;
  EXPECT_NE(grid.find("4.125 bits nominal, 4.125 stored, with 4096 x 4096 weights"), std::string::npos) << grid;
  EXPECT_NE(grid.find("stored, in the blocks of assets/demo"), std::string::npos) << grid;
  const std::string claq = run_bitloom({"recipes", "claq-2"}).out;
  EXPECT_NE(claq.find("# source: Wang et al., CLAQ"), std::string::npos) << claq;
  EXPECT_NE(claq.find("stored as each matrix needs"), std::string::npos) << claq;
  EXPECT_NE(run_bitloom({"recipes", "int8-row"}).out.find("# needs no data"), std::string::npos);
  const std::string loom = run_bitloom({"recipes", "loom-2:drift=0"}).out;
  EXPECT_NE(loom.find("# What each part is worth"), std::string::npos) << loom;
  EXPECT_NE(loom.find("\n#   no rotation "), std::string::npos) << loom;
}

TEST_F(Verbs, DemoIsQuickTheSecondTime) {
  const std::vector<std::string> command = {"demo",      "--dir", dir_->file("demo"), "--schemes", "int8-row,int2-g32",
                                            "--windows", "2"};
  const json first = run_json(command), second = run_json(command);
  ASSERT_EQ(first.at("rows").size(), 3u);
  EXPECT_EQ(first.at("rows"), second.at("rows")) << "tokens/s would differ had it been measured again";
  EXPECT_EQ(first.at("rows").at(0).at("scheme"), "original");
  EXPECT_LT(first.at("rows").at(1).at("kl_mean"), first.at("rows").at(2).at("kl_mean"));
  EXPECT_FALSE(first.at("story").at("text").get<std::string>().empty());
  // A damaged output is made again.
  write_bytes(dir_->file("demo/int2-g32/bitloom.json"), "{}");
  EXPECT_EQ(run_json(command).at("rows").at(2).at("ppl"), first.at("rows").at(2).at("ppl"));
  EXPECT_EQ(run_json({"verify", dir_->file("demo/int2-g32")}).at("ok"), true);
}

}  // namespace
}  // namespace bitloom::testing
