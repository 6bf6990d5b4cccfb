#include "eval/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kBos = 90, kEos = 91;

/// Tokens 0, 1, ..., count - 1.
TokenizedText counting(int32_t count) {
  TokenizedText text{.ids = std::vector<int32_t>(static_cast<size_t>(count)),
                     .bos = kBos,
                     .eos = kEos,
                     .adds_bos = true,
                     .bytes = 10 * count};
  std::iota(text.ids.begin(), text.ids.end(), 0);
  return text;
}

template <typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Windows, GptqCutsDisjointWindowsAndDropsTheTail) {
  TokenizedText text = counting(11);
  text.ids[0] = kBos;
  const TextWindows cut = cut_windows(text, {.protocol = Protocol::kGptq, .context = 4});
  ASSERT_EQ(cut.windows.size(), 2u);
  EXPECT_THAT(cut.windows[0].tokens, ElementsAre(kBos, 1, 2, 3));
  EXPECT_THAT(cut.windows[1].tokens, ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(cut.windows[0].first_scored, 1);
  EXPECT_EQ(cut.windows[1].first_scored, 1);
  EXPECT_EQ(cut.text_tokens, 11);
  EXPECT_EQ(cut.scored_tokens, 6);
  EXPECT_EQ(cut.scored_bytes, 0);
  EXPECT_EQ(cut.description, "gptq, context 4, bos auto (first), 2 windows");
}

TEST(Windows, GptqTakesAnExactMultipleWhole) {
  EXPECT_EQ(cut_windows(counting(8), {.protocol = Protocol::kGptq, .context = 4}).windows.size(), 2u);
  EXPECT_EQ(cut_windows(counting(7), {.protocol = Protocol::kGptq, .context = 4}).windows.size(), 1u);
}

TEST(Windows, GptqBosAlwaysPutsOneFirstUnlessItIsThere) {
  const WindowOptions options{.protocol = Protocol::kGptq, .bos = BosPolicy::kAlways, .context = 3};
  const TextWindows added = cut_windows(counting(6), options);
  ASSERT_EQ(added.windows.size(), 2u);
  EXPECT_THAT(added.windows[0].tokens, ElementsAre(kBos, 0, 1));
  EXPECT_THAT(added.windows[1].tokens, ElementsAre(2, 3, 4));
  EXPECT_EQ(added.text_tokens, 7);
  TokenizedText with = counting(6);
  with.ids[0] = kBos;
  EXPECT_THAT(cut_windows(with, options).windows[0].tokens, ElementsAre(kBos, 1, 2));
}

// llama.cpp: first = n_ctx/2; n_ctx - 1 - first predictions, made at positions first .. n_ctx - 2.
TEST(Windows, LlamaCppScoresTheSecondHalfAndOverwritesWithBos) {
  const TextWindows cut = cut_windows(counting(17), {.protocol = Protocol::kLlamaCpp, .context = 8});
  ASSERT_EQ(cut.windows.size(), 2u);
  EXPECT_THAT(cut.windows[0].tokens, ElementsAre(kBos, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(cut.windows[1].tokens, ElementsAre(kBos, 9, 10, 11, 12, 13, 14, 15));
  EXPECT_EQ(cut.windows[0].first_scored, 5);
  EXPECT_EQ(cut.windows[0].scored(), 3);
  EXPECT_EQ(cut.scored_tokens, 6);
  EXPECT_EQ(cut.description, "llamacpp, context 8, bos auto (first in every window), 2 windows");
  const TextWindows odd = cut_windows(counting(7), {.protocol = Protocol::kLlamaCpp, .context = 7});
  EXPECT_EQ(odd.windows[0].first_scored, 4);  // 7/2 + 1
  EXPECT_EQ(odd.scored_tokens, 3);            // 7 - 1 - 3
  EXPECT_EQ(cut_windows(counting(512), {.protocol = Protocol::kLlamaCpp, .context = 512}).scored_tokens, 255);
}

TEST(Windows, LlamaCppBosFollowsTokenizerAndPolicy) {
  TokenizedText text = counting(8);
  text.adds_bos = false;
  WindowOptions options{.protocol = Protocol::kLlamaCpp, .context = 4};
  EXPECT_THAT(cut_windows(text, options).windows[1].tokens, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(cut_windows(text, options).description, HasSubstr("bos auto (absent)"));
  options.bos = BosPolicy::kAlways;
  const TextWindows always = cut_windows(text, options);
  EXPECT_THAT(always.windows[0].tokens, ElementsAre(kBos, 0, 1, 2));
  EXPECT_THAT(always.windows[1].tokens, ElementsAre(kBos, 4, 5, 6));  // BOS stands where token 3 was
  text.adds_bos = true;
  options.bos = BosPolicy::kNone;
  EXPECT_THAT(cut_windows(text, options).windows[1].tokens, ElementsAre(4, 5, 6, 7));
}

// The last window has one token left to score; it is filled with three tokens of context from the left.
TEST(Windows, RollingScoresEveryTokenOnce) {
  const TextWindows cut = cut_windows(counting(9), {.protocol = Protocol::kRolling, .context = 4});
  ASSERT_EQ(cut.windows.size(), 3u);
  EXPECT_THAT(cut.windows[0].tokens, ElementsAre(kBos, 0, 1, 2, 3));
  EXPECT_EQ(cut.windows[0].first_scored, 1);
  EXPECT_THAT(cut.windows[1].tokens, ElementsAre(3, 4, 5, 6, 7));
  EXPECT_EQ(cut.windows[1].first_scored, 1);
  EXPECT_THAT(cut.windows[2].tokens, ElementsAre(4, 5, 6, 7, 8));
  EXPECT_EQ(cut.windows[2].first_scored, 4);
  EXPECT_EQ(cut.scored_tokens, 9);
  EXPECT_EQ(cut.scored_bytes, 90);
  EXPECT_EQ(cut.text_tokens, 10);
}

TEST(Windows, RollingCoversEveryLengthAndContext) {
  for (int32_t length = 1; length < 20; ++length) {
    for (int64_t context = 1; context < 8; ++context) {
      const TextWindows cut = cut_windows(counting(length), {.protocol = Protocol::kRolling, .context = context});
      std::vector<int32_t> scored;
      for (const TextWindows::Window& window : cut.windows) {
        EXPECT_LE(static_cast<int64_t>(window.tokens.size()), context + 1);
        EXPECT_GE(window.first_scored, 1);
        scored.insert(scored.end(), window.tokens.begin() + window.first_scored, window.tokens.end());
      }
      EXPECT_EQ(scored, counting(length).ids) << length << " tokens, context " << context;
    }
  }
}

TEST(Windows, RollingStartsFromEosWithoutBosAndFromTheTextWithoutEither) {
  TokenizedText text = counting(3);
  text.bos.reset();
  WindowOptions options{.protocol = Protocol::kRolling, .context = 8};
  EXPECT_THAT(cut_windows(text, options).windows[0].tokens, ElementsAre(kEos, 0, 1, 2));
  EXPECT_THAT(cut_windows(text, options).description, HasSubstr("EOS in its place"));
  text.eos.reset();
  EXPECT_THAT(message_of([&] { cut_windows(text, options); }), HasSubstr("neither BOS nor EOS"));
  options.bos = BosPolicy::kNone;
  const TextWindows none = cut_windows(text, options);
  EXPECT_THAT(none.windows[0].tokens, ElementsAre(0, 1, 2));
  EXPECT_EQ(none.scored_tokens, 2);
  EXPECT_EQ(none.scored_bytes, 0);  // the first token's bytes are not scored
}

TEST(Windows, LimitTakesTheFirstWindows) {
  for (const Protocol protocol : {Protocol::kGptq, Protocol::kLlamaCpp, Protocol::kRolling}) {
    const TextWindows all = cut_windows(counting(40), {.protocol = protocol, .context = 8});
    const TextWindows two = cut_windows(counting(40), {.protocol = protocol, .context = 8, .max_windows = 2});
    ASSERT_EQ(two.windows.size(), 2u);
    EXPECT_EQ(two.windows[1].tokens, all.windows[1].tokens);
    EXPECT_EQ(two.scored_bytes, 0);
    EXPECT_THAT(two.description, HasSubstr("2 windows"));
    EXPECT_EQ(cut_windows(counting(40), {.protocol = protocol, .context = 8, .max_windows = 99}).windows.size(),
              all.windows.size());
  }
}

TEST(Windows, RefusesWhatCannotBeScored) {
  EXPECT_THAT(message_of([] { cut_windows(counting(5), {.protocol = Protocol::kGptq, .context = 6}); }),
              HasSubstr("the text has 5 tokens, fewer than one window of 6"));
  EXPECT_THAT(message_of([] { cut_windows(counting(5), {.protocol = Protocol::kLlamaCpp, .context = 6}); }),
              HasSubstr("fewer than one window"));
  EXPECT_THAT(message_of([] { cut_windows(counting(0), {.protocol = Protocol::kRolling}); }),
              HasSubstr("nothing to score"));
  EXPECT_THAT(message_of([] { cut_windows(counting(5), {.protocol = Protocol::kLlamaCpp, .context = 2}); }),
              HasSubstr("context 2: protocol llamacpp needs at least 3"));
  EXPECT_THAT(message_of([] { cut_windows(counting(5), {.protocol = Protocol::kGptq, .context = -1}); }),
              HasSubstr("context -1: protocol gptq needs at least 2"));
  EXPECT_THAT(message_of([] { cut_windows(counting(5), {.context = 2, .max_windows = -3}); }), HasSubstr("-3 windows"));
  TokenizedText text = counting(9);
  text.bos.reset();
  EXPECT_THAT(message_of([&] { cut_windows(text, {.bos = BosPolicy::kAlways, .context = 3}); }),
              HasSubstr("the tokenizer has no BOS token"));
}

TEST(Windows, NamesParseBack) {
  for (const Protocol protocol : {Protocol::kGptq, Protocol::kLlamaCpp, Protocol::kRolling})
    EXPECT_EQ(parse_protocol(to_string(protocol)), protocol);
  for (const BosPolicy bos : {BosPolicy::kAuto, BosPolicy::kNone, BosPolicy::kAlways})
    EXPECT_EQ(parse_bos_policy(to_string(bos)), bos);
  EXPECT_EQ(message_of([] { parse_protocol("GPTQ"); }), "unknown protocol 'GPTQ' (allowed: gptq, llamacpp, rolling)");
  EXPECT_EQ(message_of([] { parse_bos_policy("yes"); }), "unknown bos policy 'yes' (allowed: auto, none, always)");
}

TEST(Windows, SpecialTokensAreAskedForByProtocolAndPolicy) {
  EXPECT_TRUE(with_special({.protocol = Protocol::kGptq}));
  EXPECT_TRUE(with_special({.protocol = Protocol::kLlamaCpp, .bos = BosPolicy::kAlways}));
  EXPECT_FALSE(with_special({.protocol = Protocol::kGptq, .bos = BosPolicy::kNone}));
  EXPECT_FALSE(with_special({.protocol = Protocol::kRolling}));
}

}  // namespace
}  // namespace bitloom
