#include "transform/rotation/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "model/test_linears.h"
#include "transform/scaling/channel_scaling.h"
#include "transform/scaling/matrix_ranges.h"
#include "transform/scaling/scaled_rows.h"
#include "transform/test_models.h"

namespace bitloom {
namespace {

using testing::difference;
using testing::golden_models;
using ::testing::HasSubstr;
using testing::kSameFunction;
using testing::logits;
using testing::open_golden;

constexpr HadamardTransform kHeads = {false, true}, kResidual = {true, false}, kBoth = {true, true};

/// Why the residual stream of a model cannot be rotated; "" where it can.
std::string obstacle(const Graph& graph) {
  const Block& first = graph.blocks[0];
  if (subtracts_mean(graph.norm)) return "LayerNorm";
  if (first.post_attention_norm.present() || first.post_mlp_norm.present()) return "block 0 norms what it adds";
  return "";
}

void expect_refused(const Checkpoint& model, const HadamardTransform& transform, const std::string& reason) {
  const std::string message = testing::message_of(ErrorKind::kUsage, [&] { rotate(model, transform, 1); });
  EXPECT_THAT(message, HasSubstr(reason));
  EXPECT_THAT(message, HasSubstr(model.graph().architecture));
}

std::shared_ptr<const Checkpoint> rotated_model(const std::shared_ptr<const Checkpoint>& model,
                                                const HadamardTransform& transform, uint64_t seed) {
  return Checkpoint::edited(model, rotate(*model, transform, seed));
}

class RotateEveryModel : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<const Checkpoint> model_ = open_golden(GetParam());
  ThreadPool threads_{2};
};

TEST_P(RotateEveryModel, HeadsKeepTheFunctionOrAreRefused) {
  for (const Block& block : model_->graph().blocks) {
    if (block.attention.clip > 0.0f) return expect_refused(*model_, kHeads, "block 0 are clipped");
    if (!has_own_values(block.attention)) return expect_refused(*model_, kHeads, "are its keys");
  }
  const auto rotated = rotated_model(model_, kHeads, 1);
  EXPECT_LE(difference(logits(rotated, threads_), logits(model_, threads_)), kSameFunction);
  const std::string& output = testing::linear_of(model_->graph(), 0, "output").weight;
  EXPECT_NE(rotated->vector(output), model_->vector(output));
  EXPECT_EQ(rotated->graph().tied_head, model_->graph().tied_head);
}

TEST_P(RotateEveryModel, ResidualStreamKeepsTheFunctionOrIsRefused) {
  const std::string reason = obstacle(model_->graph());
  if (!reason.empty()) return expect_refused(*model_, kResidual, reason);
  const std::vector<float> before = logits(model_, threads_);
  EXPECT_LE(difference(logits(rotated_model(model_, kResidual, 1), threads_), before), kSameFunction);
  EXPECT_LE(difference(logits(rotated_model(model_, kBoth, 2), threads_), before), kSameFunction);
}

INSTANTIATE_TEST_SUITE_P(Tiny, RotateEveryModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

TEST(Rotation, EditsEveryMatrixAndEmptiesTheNorms) {
  for (const std::string model : {"llama", "gemma", "phi3", "llama_llama3"}) {
    const auto base = open_golden(model), rotated = rotated_model(base, kBoth, 5);
    const Graph& graph = rotated->graph();
    EXPECT_FALSE(graph.tied_head);
    EXPECT_TRUE(rotated->is_edited(graph.embedding));
    EXPECT_TRUE(rotated->is_edited(graph.head.weight));
    const float unit = graph.norm == NormKind::kRmsPlusOne ? 0.0f : 1.0f;
    for (const Block& block : graph.blocks) {
      for (const Norm* norm : {&block.attention_norm, &block.mlp_norm, &graph.final_norm}) {
        EXPECT_THAT(rotated->vector(norm->weight), ::testing::Each(unit));
      }
    }
    for (const Site& site : linear_sites(graph)) {
      EXPECT_TRUE(rotated->is_edited(site.linear->weight));
      EXPECT_EQ(rotated->matrix(*site.linear)->storage(), "rotated F32");
    }
  }
}

TEST(Rotation, DependsOnTheSeedAlone) {
  const auto model = open_golden("llama");
  const std::string& down = testing::linear_of(model->graph(), 1, "down").weight;
  const std::vector<float> once = rotated_model(model, kBoth, 5)->vector(down);
  EXPECT_EQ(rotated_model(model, kBoth, 5)->vector(down), once);
  EXPECT_NE(rotated_model(model, kBoth, 6)->vector(down), once);
}

TEST(Rotation, StacksOnOtherRewrites) {
  ThreadPool threads(2);
  const auto model = open_golden("qwen2");
  const ChannelGroup group = channel_groups(model->graph(), 0)[3];
  const auto scaled =
      Checkpoint::edited(model, scale_input(*model, group, testing::random_scales(group.scales, 0.7, 1)));
  const auto twice = rotated_model(rotated_model(scaled, kResidual, 1), kHeads, 2);
  EXPECT_LE(difference(logits(twice, threads), logits(model, threads)), kSameFunction);
}

// Sum of fourth powers over the square of the sum of squares, times the count: 3 for normal numbers.
double kurtosis(const std::vector<float>& values) {
  double second = 0, fourth = 0;
  for (const float value : values) {
    const double square = static_cast<double>(value) * static_cast<double>(value);
    second += square, fourth += square * square;
  }
  return fourth * static_cast<double>(values.size()) / (second * second);
}

// A model with outliers in both directions: some channels of the residual stream are 30 times as great as others.
TEST(Rotation, SpreadsOutliers) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  const Linear& down = testing::linear_of(model->graph(), 0, "down");
  const Linear& up = testing::linear_of(model->graph(), 0, "up");
  std::vector<double> rows(static_cast<size_t>(down.out), 1.0), columns(static_cast<size_t>(up.in), 1.0);
  rows[7] = 30.0, columns[3] = 30.0;
  TensorEdits edits;
  edits.tensors[down.weight] = scaled_rows(model->matrix(down), rows, {});
  edits.tensors[up.weight] = scaled_rows(model->matrix(up), {}, columns);
  const auto spiked = Checkpoint::edited(model, edits), rotated = rotated_model(spiked, kResidual, 1);
  for (const Linear* linear : {&down, &up}) {
    const double before = kurtosis(spiked->vector(linear->weight)), after = kurtosis(rotated->vector(linear->weight));
    EXPECT_GT(before, 15.0) << linear->weight;
    EXPECT_LT(after, 6.0) << linear->weight;
  }
  // The outlier is gone from the rows' ranges too: greatest over mean.
  const auto peak = [&](const Checkpoint& of) {
    const std::vector<float> ranges = row_absmax(*of.matrix(down), threads);
    double sum = 0;
    for (const float range : ranges) sum += static_cast<double>(range);
    return static_cast<double>(*std::max_element(ranges.begin(), ranges.end())) * static_cast<double>(ranges.size()) /
           sum;
  };
  EXPECT_GT(peak(*spiked), 10.0);
  EXPECT_LT(peak(*rotated), 2.0);
}

TEST(Rotation, TrainedModelsStayTheSame) {
  ThreadPool threads(2);
  for (const auto& model : testing::trained_models()) {
    const double found = difference(logits(rotated_model(model, kBoth, 1), threads, 8), logits(model, threads, 8));
    std::printf("%s: %.1e of the range\n", model->path().c_str(), found);
    EXPECT_LE(found, kSameFunction);
  }
}

}  // namespace
}  // namespace bitloom
