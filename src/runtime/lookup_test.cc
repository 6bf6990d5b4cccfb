#include "runtime/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/checkpoint/checkpoint.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LookUp, TakesWhatFollowedTheLatestPlace) {
  const std::vector<int32_t> text{1, 2, 3, 4, 1, 2, 3, 5, 6, 1, 2, 3};
  EXPECT_THAT(look_up(text, 2), ElementsAre(5, 6));
  EXPECT_THAT(look_up(text, 7), ElementsAre(5, 6, 1, 2, 3)) << "up to the end of the text";
  EXPECT_THAT(look_up(text, 0), IsEmpty());
}

TEST(LookUp, ThreeTokensBeforeTwo) {
  EXPECT_THAT(look_up(std::vector<int32_t>{9, 1, 2, 7, 8, 1, 2, 6, 9, 1, 2}, 1), ElementsAre(7));
  EXPECT_THAT(look_up(std::vector<int32_t>{9, 1, 2, 7, 8, 1, 2, 6, 5, 1, 2}, 1), ElementsAre(6));
}

TEST(LookUp, NothingWhereNothingRepeats) {
  EXPECT_THAT(look_up(std::vector<int32_t>{1, 2, 3, 4}, 5), IsEmpty());
  EXPECT_THAT(look_up(std::vector<int32_t>{1, 2, 3, 2}, 5), IsEmpty()) << "one token is not enough";
  EXPECT_THAT(look_up({}, 5), IsEmpty());
  EXPECT_THAT(look_up(std::vector<int32_t>{4, 4, 4}, 5), ElementsAre(4)) << "a place may overlap the end";
}

/// A model of ten tokens that continues n with n + 1 (mod 10), and holds a sequence as a cache does.
struct Counter {
  std::vector<int32_t> fed;
  std::vector<size_t> passes;
  std::vector<float> logits;
  LookupHooks hooks{.step =
                        [this](std::span<const int32_t> tokens) {
                          fed.insert(fed.end(), tokens.begin(), tokens.end());
                          passes.push_back(tokens.size());
                          logits.assign(10 * tokens.size(), 0);
                          for (size_t i = 0; i < tokens.size(); ++i)
                            logits[10 * i + static_cast<size_t>((tokens[i] + 1) % 10)] = 1;
                          return std::span<float>(logits);
                        },
                    .truncate = [this](int64_t size) { fed.resize(static_cast<size_t>(size)); }};
};

int32_t likeliest(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST(LookupSteps, RightGuessesNeedNoPass) {
  Counter model;
  LookupSteps steps(model.hooks);
  std::vector<int32_t> text{3, 4, 5, 6, 7, 8, 0, 3, 4};
  model.fed.assign(text.begin(), text.end() - 1);
  for (int i = 0; i < 4; ++i) text.push_back(likeliest(steps.next(text, 3)));
  EXPECT_THAT(std::vector<int32_t>(text.end() - 4, text.end()), ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(model.passes, ElementsAre(4u));
  EXPECT_EQ(steps.guessed(), 3);
  EXPECT_EQ(steps.accepted(), 3);
  EXPECT_EQ(model.fed, std::vector<int32_t>(text.begin(), text.end() - 1));
}

TEST(LookupSteps, WrongGuessesAreForgotten) {
  Counter model;
  LookupSteps steps(model.hooks);
  std::vector<int32_t> text{3, 4, 5, 0, 0, 3, 4};
  model.fed.assign(text.begin(), text.end() - 1);
  for (int i = 0; i < 3; ++i) text.push_back(likeliest(steps.next(text, 3)));
  EXPECT_THAT(std::vector<int32_t>(text.end() - 3, text.end()), ElementsAre(5, 6, 7));
  EXPECT_EQ(steps.guessed(), 3) << "5 0 0, of which 5 is right";
  EXPECT_EQ(steps.accepted(), 1);
  steps.finish(std::span(text).first(text.size() - 1));
  EXPECT_EQ(model.fed, std::vector<int32_t>(text.begin(), text.end() - 1));
}

/// Greedy and drawn texts of the demo, with fp32 and with rounded inputs: the same tokens with and without.
TEST(Lookup, TheTokensAreThoseWithout) {
  ThreadPool pool(2);
  const auto checkpoint = Checkpoint::open("assets/demo");
  const Tokenizer& tokenizer = checkpoint->tokenizer();
  int64_t accepted = 0, refused = 0;
  for (const Activations activations : {Activations::kExact, Activations::kInt8}) {
    Decoder decoder(checkpoint, pool, activations);
    for (const char* prompt :
         {"Once upon a time", "The cat sat. The cat sat. The", "1 2 3 4 1 2 3 4 1 2", "Tom and Sam"}) {
      for (const float temperature : {0.0f, 0.7f}) {
        GenerateOptions options{.max_tokens = 96, .sampler = {.temperature = temperature, .seed = 3}};
        const GenerateResult plain = generate(decoder, tokenizer, prompt, options, {});
        for (const int64_t guesses : {1, 2, 3}) {
          options.lookup = guesses;
          const GenerateResult fast = generate(decoder, tokenizer, prompt, options, {});
          EXPECT_EQ(fast.ids, plain.ids) << prompt << ", " << guesses << " guesses";
          EXPECT_EQ(fast.stop, plain.stop);
          EXPECT_EQ(fast.decode_steps, plain.decode_steps);
          accepted += fast.accepted_tokens;
          refused += fast.guessed_tokens - fast.accepted_tokens;
        }
      }
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
}

/// A conversation's sequence holds no guess afterwards.
TEST(Lookup, TheSequenceHoldsTheTextAlone) {
  ThreadPool pool(2);
  const auto checkpoint = Checkpoint::open("assets/demo");
  Decoder decoder(checkpoint, pool);
  const Tokenizer& tokenizer = checkpoint->tokenizer();
  for (int64_t tokens = 8; tokens < 32; ++tokens) {
    CachedSequence sequence(decoder);
    const GenerateOptions options{.max_tokens = tokens, .sampler = {.temperature = 0}, .lookup = 3};
    const auto made = generate(sequence, tokenizer, tokenizer.encode("The cat sat. The cat sat. The"), options, {}, {});
    std::vector<int32_t> text = made.prompt_ids;
    text.insert(text.end(), made.ids.begin(), made.ids.end());
    text.pop_back();  // never read
    EXPECT_EQ(sequence.ids(), text) << tokens;
  }
}

}  // namespace
}  // namespace bitloom
