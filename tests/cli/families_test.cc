// Every family that is read goes through the main job: quantize, verify, judge, run. Their tiny checkpoints come from
// tests/oracle/forward_tiny.py and have no tokenizer.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

/// Those of tests/golden/forward, by name.
std::vector<std::string> families() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden("forward"))) {
    if (fs::exists(entry.path() / "config.json")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Letters and spaces, byte-level, below the 64 ids that the checkpoints have; 1 and 2 begin and end a text.
json letters() {
  const auto special = [](int id, const char* content) {
    return json{{"id", id}, {"content", content}, {"special", true}, {"normalized", false}};
  };
  json vocab = {{"<pad>", 0}, {"<s>", 1}, {"</s>", 2}, {"\u0120", 3}};
  for (char c = 'a'; c <= 'z'; ++c) vocab[std::string(1, c)] = vocab.size();
  return {{"version", "1.0"},
          {"added_tokens", {special(1, "<s>"), special(2, "</s>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}};
}

class Family : public ::testing::TestWithParam<std::string> {
 protected:
  Family() {
    fs::create_directory(model_);
    for (const char* name : {"config.json", "model.safetensors"}) {
      fs::copy(golden("forward/" + GetParam() + "/" + name), model_);
    }
    write_bytes(model_ + "/tokenizer.json", letters().dump());
    write_bytes(text_, "how vexingly quick daft zebras jump while the five boxing wizards watch them from a far hill ");
  }
  double loss(const std::string& model) const {
    return run_json({"eval", "ppl", model, "--text", text_, "-c", "16"}).at("nll");
  }

  TempDir dir_;
  const std::string model_ = dir_.file("model"), out_ = dir_.file("out"), text_ = dir_.file("text.txt");
};

// Eight bits for every row lose next to nothing.
TEST_P(Family, QuantizesIsJudgedAndRuns) {
  const json record = run_json({"quantize", model_, out_, "-r", "int8-row"});
  EXPECT_GT(record.at("bits_true"), 8.0);
  EXPECT_EQ(run_json({"verify", out_}).at("ok"), true);
  EXPECT_NEAR(loss(out_), loss(model_), 0.1);
  const json generated = run_json({"run", out_, "-p", "once upon", "-n", "4", "--temp", "0"});
  EXPECT_EQ(generated.at("prompt_tokens"), 9);
  EXPECT_FALSE(generated.at("ids").empty());
}

// Calibrated, as blocks are walked.
TEST_P(Family, IsCalibrated) {
  run_json({"quantize", model_, out_, "-r", "gptq+int4-row", "--samples", "4", "--seq", "16", "--calib", text_});
  EXPECT_EQ(run_json({"verify", out_}).at("ok"), true);
  EXPECT_TRUE(std::isfinite(loss(out_)));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Family, ::testing::ValuesIn(families()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace bitloom::testing
