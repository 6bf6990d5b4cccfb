#include "runtime/bench.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

/// A model whose chunk of n tokens takes n * `per_prompt_token` seconds, a single token `per_token`, and a clock that
/// only the model moves. Every call is kept.
struct FakeModel {
  double time = 0, per_prompt_token = 0.01, per_token = 0.25;
  double slower = 0;  // added to per_token at every reset
  std::vector<double> bandwidths = {1000};
  size_t passes = 0;
  std::vector<std::vector<int32_t>> steps;
  std::vector<int64_t> truncations;
  int resets = 0;

  BenchHooks hooks() {
    return {.reset =
                [this] {
                  ++resets;
                  per_token += slower;
                },
            .truncate = [this](int64_t size) { truncations.push_back(size); },
            .step =
                [this](std::span<const int32_t> tokens) {
                  steps.emplace_back(tokens.begin(), tokens.end());
                  time += tokens.size() == 1 ? per_token : per_prompt_token * static_cast<double>(tokens.size());
                },
            .step_batch =
                [this](std::span<const int32_t> tokens) {
                  steps.emplace_back(tokens.begin(), tokens.end());
                  time += 2 * per_token;
                },
            .read_pass = [this] { return bandwidths[passes++ % bandwidths.size()]; },
            .dot_pass = [] { return 500.0; },
            .clock = [this] { return time; },
            .vocab_size = 50};
  }
};

// A prompt token in 0.01 s beside 500 operations per second, a token in 0.25 s beside 1000 bytes per second.
TEST(Bench, RoofsBesideTheRatesAndADepth) {
  FakeModel model;
  Progress silent;
  const BenchResult result = run_bench(model.hooks(), {.prompt = 4, .decode = 2, .repetitions = 1, .depth = 3}, silent);
  EXPECT_NEAR(result.dots_per_token.median, 5, 1e-9);
  EXPECT_NEAR(result.bytes_per_token.median, 250, 1e-9);
  EXPECT_NEAR(result.decode_rate.median, 4, 1e-9) << "the tokens before do not count";
  ASSERT_GE(model.steps.size(), 3u);
  EXPECT_EQ(model.steps[model.steps.size() - 3].size(), 3u);
}

// Seven tokens to warm up with and three times two after them; with prompts between, they are computed again.
TEST(Bench, ADepthWithoutPromptsIsComputedOnce) {
  FakeModel model, with_prompts;
  Progress silent;
  run_bench(model.hooks(), {.prompt = 0, .decode = 2, .repetitions = 3, .depth = 7}, silent);
  EXPECT_EQ(model.truncations, std::vector<int64_t>(3, 7));
  EXPECT_EQ(model.resets, 1);
  EXPECT_EQ(model.steps.size(), 1u + 1 + 3 * 2);
  run_bench(with_prompts.hooks(), {.prompt = 4, .decode = 2, .repetitions = 3, .depth = 7}, silent);
  EXPECT_TRUE(with_prompts.truncations.empty());
  EXPECT_EQ(with_prompts.steps.size(), 1u + 2 + 3 * (1 + 3));
}

// A step of eight takes twice as long as a step of one.
TEST(Bench, ABatchBesideOneSequence) {
  FakeModel model;
  Progress silent;
  const BenchResult result = run_bench(model.hooks(), {.prompt = 0, .decode = 3, .repetitions = 2, .batch = 8}, silent);
  EXPECT_NEAR(result.decode_rate.median, 4, 1e-9);
  EXPECT_NEAR(result.batch_rate.median, 16, 1e-9);
  EXPECT_NEAR(result.batch_gain.median, 4, 1e-9);
  EXPECT_EQ(model.steps.back().size(), 8u);
  EXPECT_THROW(run_bench(model.hooks(), {.decode = 3, .depth = 3, .batch = 8}, silent), Error);
}

TEST(Spread, MedianAndEnds) {
  EXPECT_EQ(spread_of({}).median, 0);
  const Spread odd = spread_of({5, 1, 9});
  EXPECT_EQ(odd.median, 5);
  EXPECT_EQ(odd.low, 1);
  EXPECT_EQ(odd.high, 9);
  EXPECT_EQ(spread_of({4, 1, 3, 100}).median, 3.5);
}

// 600 prompt tokens at 0.01 s, in chunks of 512 and 88, are 100 tokens/s; a token in 0.25 s is 4 tokens/s.
TEST(Bench, RatesByTheClock) {
  FakeModel model;
  model.bandwidths = {800, 1200, 1000};
  Progress silent;
  const BenchResult result = run_bench(model.hooks(), {.prompt = 600, .decode = 3, .repetitions = 3}, silent);
  EXPECT_NEAR(result.prompt_rate.median, 100, 1e-9);
  EXPECT_NEAR(result.decode_rate.median, 4, 1e-9);
  EXPECT_NEAR(result.decode_rate.low, result.decode_rate.high, 1e-9);
  EXPECT_EQ(result.read_bandwidth, 1200) << "the best pass";
  EXPECT_EQ(model.passes, 3u);
  // A prompt and a token to warm up, then three times a prompt (two chunks) and three tokens.
  EXPECT_EQ(model.steps.size(), 2u + 1 + 3 * (2 + 3));
  EXPECT_EQ(model.resets, 2 + 3 * 2);
  EXPECT_EQ(model.steps[0].size(), 512u);
  EXPECT_EQ(model.steps[1].size(), 88u);
}

// Resets: two to warm up, then decode of repetition i follows reset 4 + 2 i, so tokens take 1 + 4, 1 + 6, 1 + 8 s.
TEST(Bench, SpreadOverRepetitions) {
  FakeModel model;
  model.per_token = 1;
  model.slower = 1;
  Progress silent;
  const BenchResult result = run_bench(model.hooks(), {.prompt = 8, .decode = 2, .repetitions = 3}, silent);
  EXPECT_NEAR(result.decode_rate.low, 1.0 / 9, 1e-12);
  EXPECT_NEAR(result.decode_rate.median, 1.0 / 7, 1e-12);
  EXPECT_NEAR(result.decode_rate.high, 1.0 / 5, 1e-12);
}

TEST(Bench, TokensAreRandomButFixed) {
  FakeModel first, second;
  Progress silent;
  for (FakeModel* model : {&first, &second})
    run_bench(model->hooks(), {.prompt = 64, .decode = 1, .repetitions = 1}, silent);
  EXPECT_EQ(first.steps, second.steps);
  const std::vector<int32_t>& prompt = first.steps[0];
  for (const int32_t token : prompt) EXPECT_TRUE(token >= 0 && token < 50) << token;
  EXPECT_GT(std::set<int32_t>(prompt.begin(), prompt.end()).size(), 20u);
}

TEST(Bench, APartCanBeLeftOut) {
  FakeModel model;
  Progress silent;
  const BenchResult result = run_bench(model.hooks(), {.prompt = 0, .decode = 2, .repetitions = 2}, silent);
  EXPECT_EQ(result.prompt_rate.median, 0);
  EXPECT_NEAR(result.decode_rate.median, 4, 1e-12);
  EXPECT_EQ(run_bench(model.hooks(), {.prompt = 9, .decode = 0, .repetitions = 1}, silent).decode_rate.high, 0);
  EXPECT_THROW(run_bench(model.hooks(), {.prompt = 0, .decode = 0, .repetitions = 1}, silent), Error);
}

// assets/demo has a tied head, so its embedding is read whole, as the head.
TEST(Bench, BytesOfATokenAreAllOfTheModels) {
  const auto model = Checkpoint::open("assets/demo");
  int64_t all = 0;
  for (const CheckpointTensor& tensor : model->tensors()) all += tensor.rows->stored_bytes();
  ASSERT_TRUE(model->graph().tied_head);
  EXPECT_EQ(bytes_per_token(*model), all);
}

TEST(Bench, ALookedUpEmbeddingCountsOneRow) {
  const auto tied = Checkpoint::open("assets/demo");
  const RowSourcePtr embedding = tied->tensor(tied->graph().embedding).rows;
  const auto model = Checkpoint::edited(tied, {.tensors = {{"lm_head.weight", embedding}}, .untie_head = true});
  EXPECT_EQ(bytes_per_token(*model), bytes_per_token(*tied) + embedding->stored_bytes() / embedding->rows());
}

// Seven matrices of the demo's every block, of its config's widths.
TEST(Bench, WeightsThatATokenIsMultipliedWith) {
  const auto model = Checkpoint::open("assets/demo");
  int64_t want = 0;
  for (const CheckpointTensor& tensor : model->tensors()) {
    const bool in_block =
        tensor.name.find(".layers.") != std::string::npos && tensor.name.find("norm") == std::string::npos;
    if (in_block) want += tensor.rows->rows() * tensor.rows->cols();
  }
  EXPECT_GT(want, 0);
  EXPECT_EQ(weights_per_token(*model), want);
}

}  // namespace
}  // namespace bitloom
