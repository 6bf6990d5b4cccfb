#include "transform/scaling/preshift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "transform/test_models.h"

namespace bitloom {
namespace {

using testing::difference;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::logits;
using testing::open_golden;

bool every_site(const Site&) { return true; }

/// Maxima from 0.01 to 1 for every input.
std::vector<ChannelMaxima> some_maxima(const Graph& graph) {
  std::vector<ChannelMaxima> maxima(graph.blocks.size());
  for (size_t b = 0; b < maxima.size(); ++b) {
    for (size_t i = 0; i < graph.blocks[b].inputs.size(); ++i) {
      std::vector<float>& of_input = maxima[b][static_cast<int>(i)];
      for (int64_t c = 0; c < graph.blocks[b].inputs[i].width; ++c) {
        of_input.push_back(0.01f * static_cast<float>(1 + 37 * c % 100));
      }
    }
  }
  return maxima;
}

// Page 8.4's vector; a channel of zeros stays; the limit.
TEST(Preshift, ScalesOfThePaper) {
  EXPECT_THAT(preshift_scales(std::vector<float>{0.1f, 1, 20, 0}, 20, 3), ElementsAre(0.125f, 0.125f, 1, 1));
  EXPECT_THAT(preshift_scales(std::vector<float>{0.1f, 1, 20, 7}, 20, 10), ElementsAre(0x1p-8f, 0x1p-4f, 1, 0.25f));
}

class PreshiftEveryModel : public ::testing::TestWithParam<std::string> {};

// Powers of two are exact, but for norms that multiply by 1 + w.
TEST_P(PreshiftEveryModel, KeepsTheFunction) {
  ThreadPool threads(2);
  const auto model = open_golden(GetParam());
  const std::vector<ChannelMaxima> maxima = some_maxima(model->graph());
  auto shifted = model;
  for (size_t b = 0; b < maxima.size(); ++b) {
    shifted = Checkpoint::edited(shifted, preshift_block(*shifted, static_cast<int>(b), maxima[b], {}, every_site));
  }
  EXPECT_LE(difference(logits(shifted, threads), logits(model, threads)), testing::kSameFunction);
}

INSTANTIATE_TEST_SUITE_P(Tiny, PreshiftEveryModel, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& test) { return test.param; });

TEST(Preshift, RaisesTheChannelsOfTheNorm) {
  const auto model = open_golden("llama");
  const TensorEdits edits = preshift_block(*model, 1, some_maxima(model->graph())[1], {}, every_site);
  const std::string name = "model.layers.1.input_layernorm.weight";
  ASSERT_TRUE(edits.tensors.contains(name));
  const std::vector<float> before = model->tensor(name).rows->decode_all(),
                           after = edits.tensors.at(name)->decode_all();
  EXPECT_EQ(after[0], 8 * before[0]);  // 0.01 of 1: 2^6.6, but 2^3 at most
  EXPECT_EQ(after[1], 2 * before[1]);  // 0.38
}

TEST(Preshift, RefusesMissingDataAndWrongOptions) {
  const auto model = open_golden("llama");
  const auto message = [&](const ChannelMaxima& maxima, int64_t limit) -> std::string {
    try {
      preshift_block(*model, 1, maxima, {limit}, every_site);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message({}, 3),
              HasSubstr("shifting block 1: the maxima of input attention have 0 channels, expected 32"));
  EXPECT_THAT(message({}, 32), HasSubstr("limit is 32, expected an integer from 0 to 31"));
}

}  // namespace
}  // namespace bitloom
