// A model computes the same from pytorch_model.bin as from model.safetensors.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>
#include <span>

#include "base/test_data.h"
#include "forward/decoder.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using testing::golden;

/// tests/golden/io/torch/NAME with the configuration of tests/golden/forward/NAME.
struct TorchModel {
  testing::TempDir dir;
  explicit TorchModel(const std::string& name) {
    std::filesystem::copy(golden("io/torch/" + name), dir.path());
    std::filesystem::copy(golden("forward/" + name + "/config.json"), dir.file("config.json"));
  }
};

std::vector<float> logits_of(const std::string& path) {
  const auto model = Checkpoint::open(path);
  ThreadPool threads(2);
  Decoder decoder(model, threads);
  std::vector<int32_t> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 3);
  const std::span<const float> hidden = decoder.forward(tokens, 1, 40);
  std::vector<float> logits(static_cast<size_t>(40 * model->graph().vocab_size));
  decoder.logits(hidden, 40, logits.data());
  return logits;
}

TEST(TorchCheckpoint, OptGivesTheSameLogits) {
  const TorchModel torch("opt");
  EXPECT_EQ(logits_of(torch.dir.path()), logits_of(golden("forward/opt")));
  // The head that is stored again is the embedding.
  const auto model = Checkpoint::open(torch.dir.path());
  EXPECT_TRUE(model->graph().tied_head);
  EXPECT_THAT(model->unused_tensors(), ElementsAre("lm_head.weight"));
  EXPECT_THAT(model->remarks(), ElementsAre());
}

TEST(TorchCheckpoint, ShardedGpt2GivesTheSameLogits) {
  const TorchModel torch("gpt2");
  EXPECT_EQ(logits_of(torch.dir.path()), logits_of(golden("forward/gpt2")));
  const auto model = Checkpoint::open(torch.dir.path());
  EXPECT_THAT(model->weight_files(), ElementsAre(torch.dir.file("pytorch_model-00001-of-00002.bin"),
                                                 torch.dir.file("pytorch_model-00002-of-00002.bin")));
  EXPECT_EQ(model->unused_tensors().size(), 4u);  // the masks
  EXPECT_THAT(model->remarks(), ElementsAre());
}

}  // namespace
}  // namespace bitloom
