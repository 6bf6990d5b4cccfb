// What the prediction counts, case by case. That the counts are those of real runs is measured elsewhere, on models
// large enough to see it.

#include "pipeline/cost/cost_model.h"

#include <gtest/gtest.h>

#include "observe/moment/second_moment.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/walk_test_support.h"
#include "transform/reassembly/reassemble.h"

namespace bitloom {
namespace {

class CostModel : public ::testing::Test {
 protected:
  CostModel() : data_(testing::some_data(model_, std::vector<int64_t>(8, 60))) { options_.data = &data_; }

  WalkCost cost(const std::string& recipe, WalkOrder order = WalkOrder::kSequential) {
    options_.order = order;
    const Recipe parsed = load_recipe(recipe);
    return predict_calibration(make_task(Checkpoint::open(model_), parsed, options_, threads_), threads_);
  }
  int64_t block_memory(const std::string& recipe, WalkOrder order = WalkOrder::kSequential) {
    return cost(recipe, order).blocks.at(1).peak_memory;
  }

  const std::string model_ = testing::golden_model("llama");  // hidden 32, width 48, 4 heads, 2 key heads of 8
  CalibrationData data_;
  QuantizeOptions options_;
  ThreadPool threads_{2};
};

TEST_F(CostModel, ActivationsOfOneAndTwoStreams) {
  // Residual stream and the widest of what is kept beside it: 32 + 48 values a token.
  const int64_t one = 8 * 60 * (32 + 48) * 4;
  EXPECT_EQ(cost("gptq+int4-g16").activation_bytes, one);
  EXPECT_EQ(cost("gptaq+int4-g16").activation_bytes, 2 * one);
  EXPECT_EQ(cost("gptaq+int4-g16", WalkOrder::kNone).activation_bytes, one);
  options_.precision = ActivationPrecision::kBF16;
  EXPECT_EQ(cost("gptq+int4-g16").activation_bytes, one / 2);
}

// A second moment is one tile here; matrices of 32 and 48 channels.
TEST_F(CostModel, MemoryOfABlock) {
  const int64_t tile = SecondMoment::kTile * SecondMoment::kTile * 8;
  const int64_t plain = block_memory("gptq+int4-g16");
  // The worst moment is that of mlp_down: its correction, and the cross moment.
  EXPECT_EQ(block_memory("gptaq+int4-g16") - plain, 4 * 48 * 48 * 2);
  // In order "block" all four inputs' second moments are there when the first is rounded.
  EXPECT_GE(block_memory("gptq+int4-g16", WalkOrder::kBlock), 4 * tile);
  EXPECT_LT(block_memory("gptq+int4-g16", WalkOrder::kBlock), plain + 3 * tile);
  // Scales are found before anything is rounded: the greater counts, not the sum.
  EXPECT_GE(block_memory("awq+int8-row"), 4 * tile);
  EXPECT_LT(block_memory("awq+int8-row"), 4 * tile + 100000);
  // SmoothQuant asks for ranges alone: nothing of d x d, of which one tile would be the least.
  EXPECT_LT(block_memory("smoothquant+int8-row"), tile);
  EXPECT_GT(block_memory("smoothquant+gptq+int8-row"), tile);
  // All seven matrices are rotated, and held as fp32.
  EXPECT_EQ(block_memory("hadamard+gptq+int4-g16") - plain, 4 * (32 * 32 * 2 + 16 * 32 * 2 + 3 * 48 * 32));
}

// What the search holds beside the statistics, at the worst moment of a block: while the format of mlp_down's input, of
// 48 channels, is found its one reader has 32 rows; two readers of 48 rows share the inputs of 32 channels.
TEST_F(CostModel, MemoryOfASearchByOutputs) {
  const auto least = [](int64_t tokens, int64_t channels) {
    return 4 * (tokens + 1) * channels          // the sample,
           + 4 * 3 * tokens * channels          // its tokens, transposed and rounded,
           + 4 * 32 * 2 * (channels + tokens);  // rows of a matrix and of its rounded form, outputs of each
  };
  const int64_t moment = SecondMoment::kTile * SecondMoment::kTile * 8;
  for (const int64_t tokens : {100, 400}) {
    const std::string fpq = "fpq:tokens=" + std::to_string(tokens) + "+e2m1-row@e2m1-tensor-joint";
    EXPECT_GE(block_memory(fpq), moment + least(tokens, 48));
    EXPECT_LT(block_memory(fpq), moment + 2 * least(tokens, 48) + 100000);
  }
  // Of the tokens that there are: 480. Methods other than fpq have 512 of them looked at.
  for (const std::string format : {"e2m1-row", "e2m1-row@e2m1-tensor-joint"}) {
    const int64_t more = block_memory("fpq:tokens=65536+" + format) - block_memory("fpq:tokens=480+" + format);
    EXPECT_LE(more, (65536 - 480) * (4 * 48 + 32)) << format;  // room in the sample
  }
  EXPECT_GE(block_memory("e2m1-row@e2m1-tensor-output"), moment + least(480, 48));
  EXPECT_LT(block_memory("e2m1-row@e2m1-tensor-absmax"), 65536 * 8 + 100000);  // its histogram
  // Its time, too: a product for each of the best candidates.
  const auto seconds = [&](const std::string& recipe) { return cost(recipe).blocks.at(1).round.at(3); };
  EXPECT_GT(seconds("e2m1-row@e2m1-tensor-joint"), 1.5 * seconds("e2m1-row@e2m1-tensor-absmax"));
}

// All seven matrices are held with moved columns, and beside these as the float model has them once they are rewritten.
TEST_F(CostModel, MemoryOfMovedChannels) {
  const std::string moved = "reassemble+int8-row@int8-token";
  const int64_t matrices = 4 * (32 * 32 * 2 + 16 * 32 * 2 + 3 * 48 * 32);
  for (const std::string before : {"smoothquant+", "hadamard+"}) {
    EXPECT_EQ(block_memory(before + moved) - block_memory(moved), matrices) << before;
  }
  // Of six ranks each has the samples of all, and makes one of them.
  class SixRanks final : public Ranks {
   public:
    int size() const override { return 6; }
  };
  const int64_t tile = SecondMoment::kTile * SecondMoment::kTile * 8, sample = kReassemblyTokens + 1;
  const int64_t statistics = 4 * tile + sample * 4 * (3 * 32 + 48);
  EXPECT_LT(block_memory(moved), statistics + 8 * sample * 4 * 48);
  options_.ranks = std::make_shared<SixRanks>();
  EXPECT_GE(block_memory(moved), statistics + 8 * sample * 4 * 48);
}

// Each input's search is as long as the transform says that is for its readers.
TEST_F(CostModel, TimeOfMovedChannels) {
  const testing::TempDir dir;
  std::ofstream(dir.file("two.yaml")) << "steps:\n"
                                         "  - transform: {reassemble: {steps: 2}}\n"
                                         "    targets: [\"blocks.0.*\"]\n"
                                         "  - transform: {reassemble: {ratio: 0.5}}\n"
                                         "    targets: [\"blocks.1.*\"]\n"
                                         "  - {quantize: int8-row, activations: int8-token}\n";
  const WalkCost of_both = cost(dir.file("two.yaml"));
  EXPECT_GT(of_both.blocks.at(1).move, 2 * of_both.blocks.at(0).move);
  EXPECT_GT(of_both.blocks.at(0).move, 0);
  EXPECT_EQ(of_both.blocks.at(2).move, 0);
}

TEST_F(CostModel, SpillsWhenTheMemoryIsShort) {
  const WalkCost roomy = cost("gptq+int4-g16");
  EXPECT_FALSE(roomy.spills);
  EXPECT_EQ(roomy.peak_memory - roomy.least_memory + 60 * 8 * 48 * 4, roomy.activation_bytes);
  options_.memory = 1;
  const WalkCost tight = cost("gptq+int4-g16");
  EXPECT_TRUE(tight.spills);
  EXPECT_EQ(tight.peak_memory, tight.least_memory);
  EXPECT_EQ(tight.disk_bytes, roomy.disk_bytes + tight.activation_bytes);
}

TEST_F(CostModel, DiskHoldsTheQuantizedBlocks) {
  // 3 blocks of q, k, v, output, gate, up, down: int4 codes, and an fp16 scale for each 16.
  const int64_t weights = 3 * (32 * 32 * 2 + 16 * 32 * 2 + 3 * 48 * 32);
  EXPECT_EQ(cost("gptq+int4-g16").disk_bytes, weights / 2 + weights / 16 * 2);
}

}  // namespace
}  // namespace bitloom
