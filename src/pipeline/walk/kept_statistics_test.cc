#include "pipeline/walk/kept_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "calibration/samples.h"
#include "pipeline/test_models.h"
#include "pipeline/walk_test_support.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

class KeptStatistics : public ::testing::Test {
 protected:
  KeptStatistics() {
    const auto model = Checkpoint::open(testing::kDemo);
    CalibrationOptions options;
    options.file = "assets/demo/calibration.txt";
    options.samples = 4, options.length = 64;
    data_.sequences = sample_calibration(&model->tokenizer(), model->graph().vocab_size, options).sequences;
    data_.record = {{"source", "calibration.txt"}};
  }

  /// Runs the recipe on data, keeping statistics, or on kept ones.
  void run(const std::string& recipe, const std::string& out, const std::string& keep, const std::string& use) {
    QuantizeOptions options;
    if (use.empty()) options.data = &data_;
    options.statistics_out = keep, options.statistics_in = use;
    testing::quantize(testing::kDemo, temp_.file(out), recipe, options);
  }
  std::string file(const std::string& name) const { return temp_.file(name); }
  static std::string read(const std::string& path) { return read_text(path); }

  testing::TempDir temp_;
  CalibrationData data_;
};

TEST_F(KeptStatistics, GiveTheBytesOfARunOnTheData) {
  run("gptq+int3-g32", "on_data", file("kept"), "");
  run("gptq+int3-g32", "on_kept", "", file("kept"));
  for (const char* name : {"model.safetensors", "config.json", "bitloom.json"}) {
    EXPECT_EQ(read(file("on_data") + "/" + name), read(file("on_kept") + "/" + name)) << name;
  }
  // Another format, the same inputs.
  run("gptq+int4-g32", "other", "", file("kept"));
  EXPECT_FALSE(testing::verify(file("other")).empty());
}

TEST_F(KeptStatistics, ARunThatGoesOnKeepsFinishedBlocksToo) {
  for (const WalkOrder order : {WalkOrder::kSequential, WalkOrder::kBlock}) {
    QuantizeOptions options;
    options.data = &data_, options.order = order, options.force = true;
    options.statistics_out = file("whole");
    testing::quantize(testing::kDemo, file("out"), "gptq+int3-g32", options);
    options.statistics_out = "";
    for (int call = 1; !std::filesystem::exists(file("out.journal/block-0002")); ++call) {
      testing::Listener stopped(call);
      EXPECT_ANY_THROW(testing::quantize(testing::kDemo, file("out"), load_recipe("gptq+int3-g32"), stopped, options));
    }
    options.statistics_out = file("resumed");
    testing::quantize(testing::kDemo, file("out"), "gptq+int3-g32", options);
    testing::expect_same_files(testing::files_of(file("resumed")), testing::files_of(file("whole")), "resumed");
  }
}

TEST_F(KeptStatistics, OfAnEarlierRunAreRemoved) {
  run("gptq+int3-g32", "out", file("kept"), "");
  testing::write_file(file("kept") + "/README", "mine");
  ASSERT_TRUE(std::filesystem::exists(file("kept") + "/block-0005.mlp.safetensors"));
  begin_statistics(file("kept"), {Json::object(), "", Json::object()});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file("kept")), {}), 2)
      << "the index, and what is not ours";
}

TEST_F(KeptStatistics, AreRefusedWhereTheyDoNotBelong) {
  run("gptq+int3-g32", "out", file("kept"), "");
  const auto message = [&](const std::string& recipe, const std::string& directory) {
    return testing::refusal(ErrorKind::kRefused, [&] { run(recipe, "refused", "", directory); });
  };
  EXPECT_THAT(message("gptq+int3-g32", file("absent")), HasSubstr("no statistics here; --save-stats keeps them"));
  EXPECT_THAT(message("hadamard+gptq+int3-g32", file("kept")),
              HasSubstr("kept after the rewrites '', the recipe makes 'hadamard+seed=0'"));
  EXPECT_THAT(message("gptaq+int3-g32", file("kept")), HasSubstr("without the float model's activations"));
  EXPECT_THAT(message("fpq:tokens=9+e2m1-row", file("kept")), HasSubstr("hold no tokens, and this recipe needs 9"));
  EXPECT_THAT(testing::refusal(ErrorKind::kUsage, [&] { run("awq+int3-g32", "refused", "", file("kept")); }),
              HasSubstr("kept statistics cannot serve 'awq'"));
  std::filesystem::remove(file("kept") + "/block-0001.mlp.safetensors");
  std::filesystem::remove_all(file("refused") + ".journal");
  EXPECT_THAT(message("gptq+int3-g32", file("kept")), HasSubstr("block-0001.mlp.safetensors: missing"));
}

TEST_F(KeptStatistics, OfAnotherModelAreRefused) {
  begin_statistics(file("kept"), {{{"model.safetensors", "0123"}}, "", Json::object()});
  EXPECT_THAT(testing::refusal(ErrorKind::kRefused, [&] { run("gptq+int3-g32", "out", "", file("kept")); }),
              HasSubstr("statistics of another model"));
}

}  // namespace
}  // namespace bitloom
