#include "transform/scaling/smooth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "forward/test_inputs.h"
#include "model/test_linears.h"
#include "transform/scaling/matrix_ranges.h"
#include "transform/test_models.h"

namespace bitloom {
namespace {

using testing::difference;
using testing::golden_models;
using ::testing::HasSubstr;
using testing::kSameFunction;
using testing::logits;
using testing::open_golden;

bool every_site(const Site&) { return true; }

/// max|X_j| of every input of every block over a short text.
std::vector<ChannelMaxima> observed_maxima(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads) {
  std::vector<ChannelMaxima> maxima(model->graph().blocks.size());
  for (size_t b = 0; b < maxima.size(); ++b) {
    const std::vector<Input>& inputs = model->graph().blocks[b].inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      maxima[b][static_cast<int>(i)].resize(static_cast<size_t>(inputs[i].width));
    }
  }
  const std::vector<int32_t> tokens = {5, 9, 2, 44, 17, 3, 21, 60, 33, 8};
  testing::visit_inputs(*model, tokens, 1, static_cast<int64_t>(tokens.size()), threads,
                        [&](int block, int input, std::span<const float> x) {
                          std::vector<float>& greatest = maxima[static_cast<size_t>(block)][input];
                          for (size_t i = 0; i < x.size(); ++i) {
                            float& of_channel = greatest[i % greatest.size()];
                            of_channel = std::max(of_channel, std::abs(x[i]));
                          }
                        });
  return maxima;
}

std::shared_ptr<const Checkpoint> smoothed(std::shared_ptr<const Checkpoint> model, double alpha, ThreadPool& threads,
                                           const SitePredicate& targeted = every_site) {
  const std::vector<ChannelMaxima> maxima = observed_maxima(model, threads);
  for (size_t b = 0; b < maxima.size(); ++b) {
    model = Checkpoint::edited(model, smooth_block(*model, static_cast<int>(b), maxima[b], {alpha}, targeted, threads));
  }
  return model;
}

TEST(SmoothScales, FollowTheFormulaAndItsClamps) {
  // sqrt(16 / 4) = 2; sqrt(1/9); a dead channel; max|W| clamped at 1e-5: sqrt(10 / 1e-5) = 1000; s clamped at 1e-5.
  const std::vector<float> s =
      smooth_scales(std::vector<float>{16, 1, 0, 10, 1e-14f}, std::vector<float>{4, 9, 3, 0, 100}, 0.5);
  const std::vector<float> expected = {2.0f, 1.0f / 3.0f, 1.0f, 1000.0f, 1e-5f};
  for (size_t i = 0; i < s.size(); ++i) EXPECT_FLOAT_EQ(s[i], expected[i]) << i;
  EXPECT_FLOAT_EQ(smooth_scales(std::vector<float>{81}, std::vector<float>{16}, 0.75)[0], 13.5f);  // 27 / 2
}

class SmoothEveryModel : public ::testing::TestWithParam<std::string> {};

TEST_P(SmoothEveryModel, KeepsTheFunction) {
  ThreadPool threads(2);
  const auto model = open_golden(GetParam());
  EXPECT_LE(difference(logits(smoothed(model, 0.5, threads), threads), logits(model, threads)), kSameFunction);
}

INSTANTIATE_TEST_SUITE_P(Tiny, SmoothEveryModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

TEST(Smooth, TrainedModelsStayTheSame) {
  ThreadPool threads(2);
  for (const auto& model : testing::trained_models()) {
    const double found = difference(logits(smoothed(model, 0.5, threads), threads, 8), logits(model, threads, 8));
    std::printf("%s: %.1e of the range\n", model->path().c_str(), found);
    EXPECT_LE(found, kSameFunction);
  }
}

// With alpha = 1/2 inputs and weights end with the same maxima: max|X_j| / s_j = max|W_j| s_j = sqrt of the product.
TEST(Smooth, BalancesInputsAndWeights) {
  ThreadPool threads(2);
  const auto model = open_golden("llama"), smooth = smoothed(model, 0.5, threads);
  const std::vector<float> x_before = observed_maxima(model, threads)[1][testing::kMlp];
  const std::vector<float> x = observed_maxima(smooth, threads)[1][testing::kMlp];
  const auto weights = [&](const Checkpoint& of) {
    std::vector<float> gate = column_absmax(*of.matrix(testing::linear_of(of.graph(), 1, "gate")), threads);
    const std::vector<float> up = column_absmax(*of.matrix(testing::linear_of(of.graph(), 1, "up")), threads);
    for (size_t j = 0; j < gate.size(); ++j) gate[j] = std::max(gate[j], up[j]);
    return gate;
  };
  // up's rows are divided by the scales of down's input as well, so down stays untargeted in this comparison.
  const auto no_down = smoothed(model, 0.5, threads, [](const Site& s) { return s.input == testing::kMlp; });
  const std::vector<float> w_before = weights(*model), w = weights(*no_down);
  for (size_t j = 0; j < w.size(); ++j) {
    const float middle = std::sqrt(x_before[j] * w_before[j]);
    EXPECT_NEAR(w[j], middle, 1e-5f * middle);
    EXPECT_NEAR(x[j], middle, 1e-4f * middle);  // activations: kSameFunction, of the channels' range
  }
}

TEST(Smooth, LowersOutliersOfTheInputs) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  // An outlier: channel 5 of a norm's output is 40 times too great, and its readers' columns 40 times too small.
  const ChannelGroup group = channel_groups(model->graph(), 0)[0];
  std::vector<float> s(static_cast<size_t>(group.scales), 1.0f);
  s[5] = 1.0f / 40;
  const auto spiked = Checkpoint::edited(model, scale_input(*model, group, s));
  const auto spread = [&](const std::shared_ptr<const Checkpoint>& of) {
    const std::vector<float> x = observed_maxima(of, threads)[0][testing::kAttention];
    return *std::max_element(x.begin(), x.end()) / *std::min_element(x.begin(), x.end());
  };
  const float before = spread(spiked), after = spread(smoothed(spiked, 0.5, threads));
  EXPECT_GT(before, 40.0f);
  // sqrt(40) times the spread that is there without the spike.
  EXPECT_LT(after, before / 4);
}

TEST(Smooth, TouchesTargetsAlone) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  const auto maxima = observed_maxima(model, threads)[1];
  const TensorEdits edits = smooth_block(
      *model, 1, maxima, {}, [](const Site& site) { return site.linear->role == "k"; }, threads);
  std::vector<std::string> names;
  for (const auto& [name, rows] : edits.tensors) names.push_back(name);
  const std::string layer = "model.layers.1.";
  EXPECT_THAT(names, ::testing::ElementsAre(layer + "input_layernorm.weight", layer + "self_attn.k_proj.weight",
                                            layer + "self_attn.q_proj.weight", layer + "self_attn.v_proj.weight"));
}

TEST(Smooth, SameBytesForAnyNumberOfThreads) {
  const auto model = open_golden("phi3");
  std::vector<std::vector<float>> results;
  ThreadPool two(2);
  const auto maxima = observed_maxima(model, two)[0];
  for (const int count : {1, 3}) {
    ThreadPool threads(count);
    const TensorEdits edits = smooth_block(*model, 0, maxima, {}, every_site, threads);
    results.emplace_back();
    for (const auto& [name, rows] : edits.tensors) {
      const std::vector<float> values = rows->decode_all();
      results.back().insert(results.back().end(), values.begin(), values.end());
    }
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(Smooth, RefusesMissingDataAndWrongOptions) {
  ThreadPool threads(1);
  const auto model = open_golden("llama");
  const auto message = [&](const ChannelMaxima& maxima, double alpha) -> std::string {
    try {
      smooth_block(*model, 1, maxima, {alpha}, every_site, threads);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message({}, 0.5), HasSubstr("block 1: the maxima of input attention have 0 channels, expected 32"));
  EXPECT_THAT(message({{testing::kAttention, {1.0f}}}, 0.5), HasSubstr("have 1 channels, expected 32"));
  EXPECT_THAT(message({}, 1.5), HasSubstr("alpha is 1.5, expected a number from 0 to 1"));
}

}  // namespace
}  // namespace bitloom
