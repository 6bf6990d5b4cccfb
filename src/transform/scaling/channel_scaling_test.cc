#include "transform/scaling/channel_scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/block_parts.h"
#include "model/test_linears.h"
#include "transform/test_models.h"

namespace bitloom {
namespace {

using testing::difference;
using ::testing::ElementsAre;
using testing::golden_models;
using ::testing::HasSubstr;
using testing::kSameFunction;
using testing::logits;
using testing::open_golden;
using testing::random_scales;

/// Scales of every group with an absorber, one after the other.
template <typename Scales>
std::shared_ptr<const Checkpoint> scaled(const std::shared_ptr<const Checkpoint>& model, const Scales& scales) {
  PendingEdits edits(*model);
  uint64_t stream = 0;
  for (int b = 0; b < static_cast<int>(model->graph().blocks.size()); ++b) {
    for (const ChannelGroup& group : channel_groups(model->graph(), b)) {
      if (group.absorbs()) scale_input(edits, group, scales(group.scales, stream++));
    }
  }
  return Checkpoint::edited(model, edits.take());
}

std::vector<float> moderate_scales(int64_t count, uint64_t stream) { return random_scales(count, 0.7, stream); }

class EveryModel : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Checkpoint> model_ = open_golden(GetParam());
  ThreadPool threads_{2};
};

TEST_P(EveryModel, PowersOfTwoChangeNoBit) {
  const auto edited = scaled(model_, [](int64_t count, uint64_t stream) {
    std::vector<float> s = random_scales(count, 3.0, stream);
    for (float& value : s) value = std::exp2(std::round(std::log2(value)));
    return s;
  });
  const std::vector<float> before = logits(model_, threads_), after = logits(edited, threads_);
  // Norms that multiply by 1 + w round when they absorb; all else is exact.
  if (adds_one(model_->graph().norm)) {
    EXPECT_LE(difference(after, before), 16 * kSameFunction);  // s up to 2^4: 1 + w' loses four bits
  } else {
    EXPECT_EQ(after, before);
  }
}

TEST_P(EveryModel, AnyScaleKeepsTheFunction) {
  const auto edited = scaled(model_, moderate_scales);
  EXPECT_LE(difference(logits(edited, threads_), logits(model_, threads_)), kSameFunction);
}

INSTANTIATE_TEST_SUITE_P(Tiny, EveryModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

TEST(ScaleInput, TrainedModelsStayTheSame) {
  ThreadPool threads(2);
  for (const auto& model : testing::trained_models()) {
    const double found = difference(logits(scaled(model, moderate_scales), threads, 8), logits(model, threads, 8));
    std::printf("%s: %.1e of the range\n", model->path().c_str(), found);
    EXPECT_LE(found, kSameFunction);
  }
}

// Whether the input of the group's readers can be scaled, by what makes it.
bool is_exact(const Graph& graph, const ChannelGroup& group) {
  const Block& block = graph.blocks[0];
  const auto stored = [&](const Norm& norm) { return !norm.weight.empty(); };
  switch (group.readers.front().reads->producer) {
    case Producer::kAttentionNorm:
      return stored(block.attention_norm);
    case Producer::kLatent:
      return true;
    case Producer::kAttention:
      return block.attention.clip == 0.0f && !block.attention.norm_values;
    case Producer::kMlpNorm:
    case Producer::kRouter:
      return stored(block.mlp_norm);
    case Producer::kMlp:
      break;
  }
  const Mlp& mlp = block.mlp.present() ? block.mlp : block.experts.mlps.front();
  return mlp.clamp == 0.0f && (mlp.gated || mlp.activation == Activation::kRelu);
}

// Of the first block: attention, attention_output, mlp, mlp_down (of each expert).
TEST(ChannelGroups, KnowWhatIsExact) {
  for (const std::string& name : golden_models()) {
    const auto model = open_golden(name);
    const Graph& graph = model->graph();
    for (const ChannelGroup& group : channel_groups(graph, 0)) {
      EXPECT_EQ(group.absorbs(), is_exact(graph, group)) << name << ": " << group.readers.front().reads->name;
    }
  }
}

TEST(ChannelGroups, QueryHeadsOfOneKeyHeadShareScales) {
  Graph graph;
  graph.hidden = 8;
  graph.blocks.resize(1);
  Block& block = graph.blocks[0];
  Attention& attention = block.attention;
  attention.heads = 4, attention.kv_heads = 2, attention.head_dim = 2;
  attention.layout = QkvLayout::kConcatenated;
  connect_attention(block, {{"q", "", 16, 8}, {}, {}, {"o", "", 8, 8}});
  const ChannelGroup group = channel_groups(graph, 0)[1];
  EXPECT_EQ(group.scales, 4);
  EXPECT_THAT(group.scale_of, ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_THAT(std::get<RowAbsorber>(group.absorber).rows, ElementsAre(12, 13, 14, 15));
  EXPECT_THAT(group.maximum(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}), ElementsAre(3, 4, 7, 8));
  EXPECT_THAT(group.mean(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}), ElementsAre(2, 3, 6, 7));
  EXPECT_THAT(group.spread(std::vector<float>{1, 2, 3, 4}), ElementsAre(1, 2, 1, 2, 3, 4, 3, 4));
}

TEST(ChannelGroups, ASharedNormHasAllItsReaders) {
  Graph graph = open_golden("gpt_neox")->graph();
  Block& block = graph.blocks[0];
  block.mlp_norm = block.attention_norm;
  const std::vector<ChannelGroup> groups = channel_groups(graph, 0);
  ASSERT_EQ(groups.size(), 3u);
  ASSERT_EQ(groups[0].readers.size(), 2u);
  EXPECT_EQ(groups[0].readers[0].linear, &testing::linear_of(graph, 0, "qkv"));
  EXPECT_EQ(groups[0].readers[1].linear, &testing::linear_of(graph, 0, "up"));
  EXPECT_TRUE(groups[0].absorbs());
  // In a sequential block the two outputs differ: neither can take a scale.
  block.parallel = false;
  EXPECT_FALSE(channel_groups(graph, 0)[0].absorbs());
  EXPECT_FALSE(channel_groups(graph, 0)[2].absorbs());
}

TEST(ChannelGroups, TensorsWithOtherReadersTakeNoScale) {
  Graph graph = open_golden("llama")->graph();
  const auto v = static_cast<size_t>(graph.blocks[0].attention.v);
  graph.blocks[0].linears[v].weight = graph.blocks[1].linears[v].weight;
  std::vector<ChannelGroup> groups = channel_groups(graph, 0);
  EXPECT_FALSE(groups[0].absorbs());  // v's columns cannot be scaled,
  EXPECT_FALSE(groups[1].absorbs());  // nor its rows
  EXPECT_TRUE(groups[2].absorbs());
  graph.final_norm = graph.blocks[0].mlp_norm;
  EXPECT_FALSE(channel_groups(graph, 0)[2].absorbs());
}

TEST(ScaleInput, RefusesScalesThatAreNone) {
  const auto model = open_golden("llama");
  const ChannelGroup group = channel_groups(model->graph(), 1)[2];
  for (const float bad : {0.0f, -1.0f, INFINITY, NAN}) {
    std::vector<float> s(static_cast<size_t>(group.scales), 1.0f);
    s[3] = bad;
    try {
      scale_input(*model, group, s);
      ADD_FAILURE() << "nothing was refused";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("block 1, input mlp: scale"));
      EXPECT_THAT(error.what(), HasSubstr("of channel 3"));
    }
  }
}

TEST(ScaleInput, ThereAndBackIsTheIdentity) {
  const auto model = open_golden("llama_llama3");
  const ChannelGroup group = channel_groups(model->graph(), 0)[0];
  const std::vector<float> s(static_cast<size_t>(group.scales), 4.0f), back(s.size(), 0.25f);
  PendingEdits edits(*model);
  scale_input(edits, group, s);
  const std::string& q = testing::linear_of(model->graph(), 0, "q").weight;
  EXPECT_EQ(edits.rows(q)->decode_all()[5], 4.0f * model->vector(q)[5]);
  scale_input(edits, group, back);
  for (const auto& [name, rows] : edits.take().tensors) EXPECT_EQ(rows->decode_all(), model->vector(name)) << name;
}

}  // namespace
}  // namespace bitloom
