#include "runtime/generate_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A model of 100 tokens that always continues n with n + 1, and remembers what it was fed.
struct Counter {
  std::vector<float> logits = std::vector<float>(100);
  std::vector<std::vector<int32_t>> fed;
  std::vector<bool> wanted;
  std::vector<int32_t> given;
  GenerateHooks hooks;

  Counter() {
    hooks.step = [this](std::span<const int32_t> tokens, bool want) -> std::span<float> {
      fed.emplace_back(tokens.begin(), tokens.end());
      wanted.push_back(want);
      if (!want) return {};
      std::fill(logits.begin(), logits.end(), 0.0f);
      logits[static_cast<size_t>(tokens.back() + 1) % 100] = 20;
      return logits;
    };
    hooks.on_token = [this](int32_t id) { given.push_back(id); };
  }

  GenerateResult run(std::vector<int32_t> prompt, int64_t max_tokens) {
    GenerateResult result;
    result.prompt_ids = std::move(prompt);
    run_generate_loop(hooks, {.max_tokens = max_tokens, .sampler = {.temperature = 0}}, result);
    return result;
  }
};

std::string message_of(Counter& model, std::vector<int32_t> prompt, int64_t max_tokens, ErrorKind kind) {
  return testing::message_of(kind, [&] { model.run(std::move(prompt), max_tokens); });
}

TEST(GenerateLoop, ContinuesUntilLength) {
  Counter model;
  const GenerateResult out = model.run({5, 6}, 3);
  EXPECT_THAT(out.ids, ElementsAre(7, 8, 9));
  EXPECT_EQ(model.given, out.ids);
  EXPECT_EQ(out.stop, "length");
  EXPECT_THAT(model.fed, ElementsAre(ElementsAre(5, 6), ElementsAre(7), ElementsAre(8)));  // 9 is never needed
  EXPECT_EQ(out.decode_steps, 2);
  EXPECT_GT(out.prompt_seconds, 0);
  EXPECT_GT(out.decode_seconds, 0);
  EXPECT_DOUBLE_EQ(out.tokens_per_second(), 2 / out.decode_seconds);
  EXPECT_DOUBLE_EQ(out.prompt_tokens_per_second(), 2 / out.prompt_seconds);
}

TEST(GenerateLoop, NothingAskedForIsNothing) {
  Counter model;
  const GenerateResult out = model.run({5}, 0);
  EXPECT_THAT(out.ids, IsEmpty());
  EXPECT_EQ(out.stop, "length");
  EXPECT_EQ(out.tokens_per_second(), 0);
}

TEST(GenerateLoop, StopsAtAnyEndTokenWithoutGivingIt) {
  Counter model;
  model.hooks.end_ids = {50, 9};
  const GenerateResult out = model.run({5, 6}, 20);
  EXPECT_THAT(out.ids, ElementsAre(7, 8));
  EXPECT_EQ(model.given, out.ids);
  EXPECT_EQ(out.stop, "end of text");
}

TEST(GenerateLoop, StopsWhenTheContextIsFull) {
  Counter model;
  model.hooks.max_positions = 4;
  const GenerateResult out = model.run({5, 6}, 20);
  EXPECT_THAT(out.ids, ElementsAre(7, 8, 9));  // 5 6 7 8 fill the context; 9 comes from its last position
  EXPECT_EQ(out.stop, "context full");
  EXPECT_EQ(model.fed.back(), std::vector<int32_t>{8});
}

TEST(GenerateLoop, LengthAndFullContextAtOnceIsLength) {
  Counter model;
  model.hooks.max_positions = 4;
  EXPECT_EQ(model.run({5, 6}, 3).stop, "length");
}

TEST(GenerateLoop, APromptMayFillTheContextButNotMore) {
  Counter model;
  model.hooks.max_positions = 3;
  const GenerateResult out = model.run({1, 2, 3}, 5);
  EXPECT_THAT(out.ids, ElementsAre(4));
  EXPECT_EQ(out.stop, "context full");
  EXPECT_THAT(message_of(model, {1, 2, 3, 4}, 5, ErrorKind::kRefused),
              HasSubstr("the prompt has 4 tokens, the model's context is 3"));
}

TEST(GenerateLoop, LongPromptsGoInChunksAndOnlyTheLastAsksForLogits) {
  Counter model;
  model.run(std::vector<int32_t>(static_cast<size_t>(2 * kPromptChunk + 1), 3), 1);
  ASSERT_EQ(model.fed.size(), 3u);
  EXPECT_EQ(model.fed[0].size(), static_cast<size_t>(kPromptChunk));
  EXPECT_EQ(model.fed[2].size(), 1u);
  EXPECT_THAT(model.wanted, ElementsAre(false, false, true));
  Counter exact;
  exact.run(std::vector<int32_t>(static_cast<size_t>(kPromptChunk), 3), 1);
  EXPECT_EQ(exact.fed.size(), 1u);
}

TEST(GenerateLoop, PenaltySeesPromptAndAnswer) {
  GenerateResult result;
  result.prompt_ids = {1};
  std::vector<float> logits(4);
  GenerateHooks hooks;
  hooks.step = [&](std::span<const int32_t>, bool) -> std::span<float> {
    logits = {4, 8, 6, 1};
    return logits;
  };
  hooks.on_token = [](int32_t) {};
  run_generate_loop(hooks, {.max_tokens = 3, .sampler = {.temperature = 0, .repeat_penalty = 10}}, result);
  EXPECT_THAT(result.ids, ElementsAre(2, 0, 3));  // 1 is penalised by the prompt, then each by its own use
}

TEST(GenerateLoop, TokensThatWereKeptAreNotFed) {
  Counter model;
  std::vector<int32_t> seen;
  model.hooks.keep = [&](std::span<const int32_t> prompt) {
    seen.assign(prompt.begin(), prompt.end());
    return 2;
  };
  const GenerateResult out = model.run({5, 6, 7}, 2);
  EXPECT_THAT(seen, ElementsAre(5, 6, 7));
  EXPECT_THAT(model.fed, ElementsAre(ElementsAre(7), ElementsAre(8)));
  EXPECT_EQ(out.kept_tokens, 2);
  EXPECT_DOUBLE_EQ(out.prompt_tokens_per_second(), 1 / out.prompt_seconds);
}

TEST(GenerateLoop, EndsWhereItIsInterrupted) {
  Counter model;
  int left = 3;
  model.hooks.interrupted = [&] { return left-- == 0; };
  const GenerateResult out = model.run({5}, 20);  // asked before the prompt, 6, 7 and 8
  EXPECT_THAT(out.ids, ElementsAre(6, 7));
  EXPECT_EQ(out.stop, "interrupted");
  Counter early;
  left = 1;
  early.hooks.interrupted = [&] { return left-- == 0; };
  const GenerateResult none = early.run(std::vector<int32_t>(static_cast<size_t>(kPromptChunk + 1), 3), 20);
  EXPECT_THAT(none.ids, IsEmpty());
  EXPECT_EQ(none.stop, "interrupted");
  EXPECT_EQ(early.fed.size(), 1u);
}

/// Sizes of the passes after the prompt 5 6 7 8 9 5 6, which 7 8 9 10 ... follow.
std::vector<size_t> passes_by_lookup(int64_t max_tokens, int64_t max_positions) {
  Counter model;
  std::vector<float> rows;
  std::vector<size_t> passes;
  model.hooks.max_positions = max_positions;
  model.hooks.lookup = {.step =
                            [&](std::span<const int32_t> tokens) {
                              passes.push_back(tokens.size());
                              rows.clear();
                              for (const int32_t token : tokens) {
                                const std::span<float> row = model.hooks.step({&token, 1}, true);
                                rows.insert(rows.end(), row.begin(), row.end());
                              }
                              return std::span<float>(rows);
                            },
                        .truncate = [](int64_t) {}};
  GenerateResult result;
  result.prompt_ids = {5, 6, 7, 8, 9, 5, 6};
  const GenerateOptions options{.max_tokens = max_tokens, .sampler = {.temperature = 0}, .lookup = 3};
  run_generate_loop(model.hooks, options, result);
  for (size_t i = 0; i < result.ids.size(); ++i) EXPECT_EQ(result.ids[i], static_cast<int32_t>(7 + i));
  return passes;
}

TEST(GenerateLoop, GuessesAreThoseThatCanBeWanted) {
  EXPECT_THAT(passes_by_lookup(3, 0), ElementsAre(2u)) << "7 is sampled, 8 guessed, 9 the last: 8 and 9 need logits";
  EXPECT_THAT(passes_by_lookup(2, 0), ElementsAre(1u));
  EXPECT_THAT(passes_by_lookup(9, 9), ElementsAre(2u)) << "7 and 8 fill the context";
  EXPECT_THAT(passes_by_lookup(5, 100), ElementsAre(4u, 1u)) << "8 and 9 are right, 5 is not";
}

TEST(GenerateLoop, BadRequestsAreNamed) {
  Counter model;
  GenerateResult result;
  result.prompt_ids = {1};
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage,
                                  [&] { run_generate_loop(model.hooks, {.sampler = {}, .lookup = 8}, result); }),
              HasSubstr("8 tokens to guess at once: must be 0 to 3"));
  EXPECT_THAT(message_of(model, {}, 5, ErrorKind::kRefused), HasSubstr("the prompt has no tokens"));
  EXPECT_THAT(message_of(model, {1}, -1, ErrorKind::kUsage), HasSubstr("-1 tokens to generate"));
  EXPECT_THAT(model.fed, IsEmpty());
}

}  // namespace
}  // namespace bitloom
