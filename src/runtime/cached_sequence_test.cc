#include "runtime/cached_sequence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/checkpoint/checkpoint.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

struct Demo {
  ThreadPool pool{2};
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  Decoder decoder{checkpoint, pool};
};

TEST(CachedSequence, KeepsWhatIsEqualButNeverTheLastToken) {
  Demo demo;
  CachedSequence sequence(demo.decoder);
  EXPECT_EQ(sequence.keep({}), 0);
  const std::vector<int32_t> text{1, 5, 6, 7, 8}, other{1, 5, 9}, longer{1, 5, 6, 7, 8, 9, 10};
  sequence.step(text, false);
  EXPECT_EQ(sequence.keep(longer), 5);
  EXPECT_EQ(sequence.keep(text), 4);
  EXPECT_EQ(sequence.keep(other), 2);
  EXPECT_EQ(sequence.ids(), (std::vector<int32_t>{1, 5}));
  EXPECT_EQ(sequence.keep({}), 0);
}

// The same tokens in other pieces: fp32 sums in another order, see kReordered in forward/decoder_test.cc.
TEST(CachedSequence, GoesOnAsIfItHadBegunSo) {
  Demo demo;
  const std::vector<int32_t> first{1, 50, 60, 70, 80, 90}, second{1, 50, 60, 33, 44, 55};
  CachedSequence sequence(demo.decoder), fresh(demo.decoder);
  sequence.step(first, false);
  const int64_t kept = sequence.keep(second);
  ASSERT_EQ(kept, 3);
  const std::span<float> continued = sequence.step(std::span(second).subspan(3), true);
  const std::span<float> expected = fresh.step(second, true);
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  for (size_t v = 0; v < expected.size(); ++v) EXPECT_NEAR(continued[v], expected[v], 1e-5f * (*high - *low));
}

TEST(CachedSequence, AConversationComputesOnlyWhatIsNew) {
  Demo demo;
  const Tokenizer& tokenizer = demo.checkpoint->tokenizer();
  const GenerateOptions options{.max_tokens = 20, .sampler = {.temperature = 0}};
  CachedSequence sequence(demo.decoder);
  std::vector<int32_t> text = tokenizer.encode("Once upon a time");
  const GenerateResult first = generate(sequence, tokenizer, text, options, {}, {});
  EXPECT_EQ(first.kept_tokens, 0);
  EXPECT_EQ(first.ids, generate(demo.decoder, tokenizer, text, options, {}).ids);
  text.insert(text.end(), first.ids.begin(), first.ids.end());
  for (const int32_t id : tokenizer.encode(" Then", false)) text.push_back(id);
  const GenerateResult second = generate(sequence, tokenizer, text, options, {}, {});
  // Of the first answer all but its last token had been read.
  EXPECT_EQ(second.kept_tokens, static_cast<int64_t>(first.prompt_ids.size() + first.ids.size()) - 1);
  EXPECT_EQ(second.ids, generate(demo.decoder, tokenizer, text, options, {}).ids);
}

TEST(CachedSequence, AnInterruptedAnswerCanBeContinued) {
  Demo demo;
  const Tokenizer& tokenizer = demo.checkpoint->tokenizer();
  CachedSequence sequence(demo.decoder);
  int asked = 0;
  const auto after_three = [&] { return ++asked > 4; };  // the prompt, and three tokens
  const std::vector<int32_t> prompt = tokenizer.encode("Once upon a time");
  const GenerateOptions options{.max_tokens = 20, .sampler = {.temperature = 0}};
  const GenerateResult out = generate(sequence, tokenizer, prompt, options, {}, after_three);
  EXPECT_EQ(out.stop, "interrupted");
  EXPECT_EQ(out.ids.size(), 3u);
  EXPECT_EQ(generate(sequence, tokenizer, prompt, options, {}, {}).ids,
            generate(demo.decoder, tokenizer, prompt, options, {}).ids);
}

}  // namespace
}  // namespace bitloom
