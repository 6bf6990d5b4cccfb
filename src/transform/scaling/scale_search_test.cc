#include "transform/scaling/scale_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "forward/test_inputs.h"
#include "model/test_linears.h"
#include "transform/scaling/scaled_rows.h"
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

bool every_site(const Site&) { return true; }

/// Rounding to nearest on 7 levels, one scale for each 8 columns of a row.
std::vector<float> three_bits(const RowSource& w, const Linear&) {
  std::vector<float> values = w.decode_all();
  for (size_t begin = 0; begin < values.size(); begin += 8) {
    float greatest = 0;
    for (size_t i = begin; i < begin + 8; ++i) greatest = std::max(greatest, std::abs(values[i]));
    const float step = greatest > 0 ? greatest / 3 : 1.0f;
    for (size_t i = begin; i < begin + 8; ++i) values[i] = step * std::nearbyint(values[i] / step);
  }
  return values;
}

/// Inputs of every site of every block over a short text, and their moments.
struct Observed {
  std::vector<std::map<int, std::vector<float>>> x;
  std::vector<std::map<int, SecondMoment>> moments;

  Observed(const std::shared_ptr<const Checkpoint>& model, ThreadPool& threads) {
    x.resize(model->graph().blocks.size()), moments.resize(x.size());
    for (size_t b = 0; b < x.size(); ++b) {
      for (const Input& input : model->graph().blocks[b].inputs) {
        moments[b].emplace(static_cast<int>(moments[b].size()), SecondMoment(input.width));
      }
    }
    std::vector<int32_t> tokens(48);
    for (int32_t i = 0; i < 48; ++i) tokens[static_cast<size_t>(i)] = i * 29 % 64;
    testing::visit_inputs(*model, tokens, 1, static_cast<int64_t>(tokens.size()), threads,
                          [&](int block, int input, std::span<const float> seen) {
                            if (seen.empty()) return;
                            x[static_cast<size_t>(block)][input].assign(seen.begin(), seen.end());
                          });
    for (size_t b = 0; b < x.size(); ++b) {
      for (const auto& [input, values] : x[b]) {
        SecondMoment& moment = moments[b].at(input);
        const auto rows = static_cast<int64_t>(values.size()) / moment.channels();
        moment.add(values.data(), rows, moment.channels(), threads);
      }
    }
  }
  ChannelMoments of(size_t block) const {
    ChannelMoments result;
    for (const auto& [input, moment] : moments[block]) result[input] = &moment;
    return result;
  }
};

TEST(MagnitudeScales, FollowTheFormula) {
  EXPECT_THAT(magnitude_scales(std::vector<double>{5, 0, 0.1}, 0.0), ElementsAre(1, 1, 1));
  // 16^(1/2) = 4 and 1^(1/2) = 1, divided by sqrt(4 * 1).
  EXPECT_THAT(magnitude_scales(std::vector<double>{16, 1, 4}, 0.5), ElementsAre(2, 0.5, 1));
  // A dead channel counts as 1e-4: sqrt(1 * 1e-4) = 1e-2.
  const std::vector<float> dead = magnitude_scales(std::vector<double>{1, 0}, 0.5);
  EXPECT_FLOAT_EQ(dead[0], 100.0f);
  EXPECT_FLOAT_EQ(dead[1], 0.01f);
}

// The loss by its definition: mean over tokens of |(Q(W s)/s - W) x|^2, in fp64.
TEST(ScaleSearch, LossIsTheMeanOutputError) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  const Observed data(model, threads);
  const Linear& down = testing::linear_of(model->graph(), 1, "down");
  const RowSourcePtr w = model->matrix(down);
  const std::vector<float>& x = data.x[1].at(testing::kMlpDown);
  std::vector<double> s;
  for (int64_t c = 0; c < down.in; ++c) s.push_back(0.5 + static_cast<double>(c) / 20);
  std::vector<float> h(static_cast<size_t>(down.in * down.in));
  data.moments[1].at(testing::kMlpDown).copy_to(h.data(), threads);
  const double loss = scaled_rounding_loss(*w, down, s, h, three_bits, threads);

  const std::vector<float> plain = w->decode_all(), q = three_bits(*scaled_rows(w, {}, s), down);
  const auto width = static_cast<size_t>(down.in);
  const size_t tokens = x.size() / width;
  double expected = 0;
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < static_cast<size_t>(down.out); ++r) {
      double y = 0;
      for (size_t c = 0; c < width; ++c) {
        y += (static_cast<double>(q[r * width + c]) / s[c] - static_cast<double>(plain[r * width + c])) *
             static_cast<double>(x[t * width + c]);
      }
      expected += y * y / static_cast<double>(tokens);
    }
  }
  ASSERT_GT(expected, 0);
  // D and H are rounded to fp32 and multiplied in fp32: 48 products a sum, 50 * 2^-24 = 3e-6 of the terms' magnitudes,
  // which cancel to the loss: their sum is at most some ten times it.
  EXPECT_NEAR(loss, expected, 3e-5 * expected);
}

class SearchEveryModel : public ::testing::TestWithParam<std::string> {};

TEST_P(SearchEveryModel, KeepsTheFunctionAndNeverRaisesTheLoss) {
  ThreadPool threads(2);
  const auto model = open_golden(GetParam());
  const Observed data(model, threads);
  std::shared_ptr<const Checkpoint> result = model;
  bool better = false;
  for (size_t b = 0; b < model->graph().blocks.size(); ++b) {
    const ScaleSearchResult found =
        search_block_scales(*result, static_cast<int>(b), data.of(b), {8}, three_bits, every_site, threads);
    for (const GroupSearch& group : found.groups) {
      EXPECT_LE(group.loss, group.plain_loss);
      EXPECT_EQ(group.ratio > 0, group.loss < group.plain_loss);
      better = better || group.loss < group.plain_loss;
    }
    result = Checkpoint::edited(result, found.edits);
  }
  EXPECT_TRUE(better);
  EXPECT_LE(difference(logits(result, threads), logits(model, threads)), kSameFunction);
}

INSTANTIATE_TEST_SUITE_P(Tiny, SearchEveryModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& test) { return test.param; });

// What the search reports is what the edited model does: the loss of rounding its edited weight, seen by the old input.
TEST(ScaleSearch, ReportedLossIsTheEditedModels) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  const Observed before(model, threads);
  const auto mlp_only = [](const Site& site) { return site.input == testing::kMlpDown; };
  const ScaleSearchResult found = search_block_scales(*model, 0, before.of(0), {20}, three_bits, mlp_only, threads);
  ASSERT_EQ(found.groups.size(), 1u);
  ASSERT_GT(found.groups[0].ratio, 0);
  const auto edited = Checkpoint::edited(model, found.edits);
  const Observed after(edited, threads);
  const Linear& down = testing::linear_of(model->graph(), 0, "down");
  std::vector<float> h(static_cast<size_t>(down.in * down.in));
  after.moments[0].at(testing::kMlpDown).copy_to(h.data(), threads);
  const std::vector<double> ones(static_cast<size_t>(down.in), 1.0);
  const double loss = scaled_rounding_loss(*edited->matrix(down), down, ones, h, three_bits, threads);
  // As above, and inputs that were rounded again.
  EXPECT_NEAR(loss, found.groups[0].loss, 1e-4 * loss);
}

TEST(ScaleSearch, FindsAPlantedScale) {
  ThreadPool threads(2);
  const auto model = open_golden("llama");
  // Every fourth channel of the MLP's input is 30 times too great, its columns 30 times too small: rounded with their
  // neighbours these columns vanish.
  const ChannelGroup group = channel_groups(model->graph(), 0)[2];
  std::vector<float> s(static_cast<size_t>(group.scales), 1.0f);
  for (size_t j = 0; j < s.size(); j += 4) s[j] = 1.0f / 30;
  const auto spiked = Checkpoint::edited(model, scale_input(*model, group, s));
  const auto mlp_only = [](const Site& site) { return site.input == testing::kMlp; };
  const ScaleSearchResult found =
      search_block_scales(*spiked, 0, Observed(spiked, threads).of(0), {20}, three_bits, mlp_only, threads);
  EXPECT_GE(found.groups[0].ratio, 0.4);
  EXPECT_LT(found.groups[0].loss, 0.2 * found.groups[0].plain_loss);
}

TEST(ScaleSearch, SameBytesForAnyNumberOfThreads) {
  const auto model = open_golden("qwen2");
  ThreadPool two(2);
  const Observed data(model, two);
  std::vector<double> losses;
  for (const int count : {1, 3}) {
    ThreadPool threads(count);
    for (const GroupSearch& group :
         search_block_scales(*model, 1, data.of(1), {5}, three_bits, every_site, threads).groups) {
      losses.push_back(group.loss);
    }
  }
  ASSERT_EQ(losses.size(), 8u);
  EXPECT_TRUE(std::equal(losses.begin(), losses.begin() + 4, losses.begin() + 4));
}

TEST(ScaleSearch, RefusesMissingDataAndWrongOptions) {
  ThreadPool threads(1);
  const auto model = open_golden("llama");
  const auto message = [&](const ChannelMoments& moments, int64_t steps) -> std::string {
    try {
      search_block_scales(*model, 1, moments, {steps}, three_bits, every_site, threads);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const SecondMoment empty(32);
  EXPECT_THAT(message({}, 20), HasSubstr("block 1: the moment of input attention has 0 channels and 0 tokens"));
  EXPECT_THAT(message({{testing::kAttention, &empty}}, 20), HasSubstr("has 32 channels and 0 tokens"));
  EXPECT_THAT(message({}, 0), HasSubstr("steps is 0, expected at least 1"));
}

}  // namespace
}  // namespace bitloom
