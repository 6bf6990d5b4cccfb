#include "eval/greedy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/logits/fake_source.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::FakeSource;

const Tokenizer& demo() {
  static const Tokenizer tokenizer = Tokenizer::load("assets/demo");
  return tokenizer;
}

/// A model that says `script` after a prompt of `prompt` tokens, and token 0 after that.
FakeSource speaker(const std::vector<int32_t>& script, size_t prompt, int64_t positions = 0) {
  FakeSource source(demo().vocab_size(), [=](std::span<const int32_t> tokens, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    const size_t at = tokens.size() - prompt;
    logits[static_cast<size_t>(at < script.size() ? script[at] : 0)] = 1;
  });
  source.set_max_positions(positions);
  return source;
}

std::vector<int32_t> ids_of(const std::string& text) { return demo().encode(text, false); }

const std::vector<int32_t> kPrompt = {5, 6, 7};

GreedyResult say(const std::string& text, const GreedyOptions& options) {
  FakeSource source = speaker(ids_of(text), kPrompt.size());
  return greedy(source, demo(), kPrompt, options, {});
}

TEST(Greedy, SaysWhatTheModelFindsLikeliest) {
  const std::string text = " the old man and the sea";
  const auto count = static_cast<int64_t>(ids_of(text).size());
  const GreedyResult result = say(text, {.max_tokens = count});
  EXPECT_EQ(result.ids, ids_of(text));
  EXPECT_EQ(result.text, text);
  EXPECT_EQ(result.stop, "length");
}

TEST(Greedy, LowestIdAmongEquals) {
  FakeSource source(demo().vocab_size(), [](std::span<const int32_t>, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[9] = logits[40] = logits[200] = 3;
  });
  EXPECT_EQ(greedy(source, demo(), kPrompt, {.max_tokens = 2}, {}).ids, (std::vector<int32_t>{9, 9}));
}

TEST(Greedy, EndsAtAnEndToken) {
  std::vector<int32_t> script = ids_of(" one two");
  const std::vector<int32_t> kept = script;
  script.push_back(3), script.push_back(8);
  FakeSource source = speaker(script, kPrompt.size());
  const GreedyResult result = greedy(source, demo(), kPrompt, {.end_ids = {2, 3}}, {});
  EXPECT_EQ(result.ids, kept);
  EXPECT_EQ(result.text, " one two");
  EXPECT_EQ(result.stop, "end of text");
}

// However the tokenizer cuts it: every part of the text as stop string ends the text before its first occurrence.
TEST(Greedy, StopsAtAnyPartOfTheText) {
  const std::string text = " Question: how old?\n\nAnswer: so old.";
  ASSERT_LT(ids_of(text).size(), text.size()) << "no token of more than one byte: nothing would be tested";
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t size = 1; size <= text.size() - begin; ++size) {
      const std::string stop = text.substr(begin, size);
      const GreedyResult result = say(text, {.max_tokens = 100, .stops = {"never said", stop}});
      EXPECT_EQ(result.text, text.substr(0, text.find(stop))) << stop;
      EXPECT_EQ(result.stop, "stop string");
      EXPECT_THAT(demo().decode(result.ids), ::testing::HasSubstr(stop));
    }
  }
}

TEST(Greedy, TheFirstOfSeveralStopsWins) {
  const GreedyOptions options{.max_tokens = 100, .stops = {"sea", "man", "n and"}};
  EXPECT_EQ(say(" the old man and the sea", options).text, " the old ");
}

TEST(Greedy, StopsInAnUnfinishedCharacterAtTheEnd) {
  std::vector<int32_t> script = ids_of("a\xc3\xa9");  // e with acute accent, as two byte tokens or one
  script.pop_back();
  FakeSource source = speaker(script, kPrompt.size());
  const GreedyOptions options{.max_tokens = static_cast<int64_t>(script.size()), .stops = {"a"}};
  EXPECT_EQ(greedy(source, demo(), kPrompt, options, {}).text, "");
}

TEST(Greedy, ShowsEveryTokenWithItsLogits) {
  FakeSource source = testing::random_source(demo().vocab_size(), 2);
  std::vector<int32_t> seen;
  const auto look = [&](int32_t id, std::span<const float> logits) {
    ASSERT_EQ(static_cast<int64_t>(logits.size()), demo().vocab_size());
    EXPECT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), id);
    seen.push_back(id);
  };
  const GreedyResult result = greedy(source, demo(), kPrompt, {.max_tokens = 7}, look);
  EXPECT_EQ(seen, result.ids);
  EXPECT_EQ(seen.size(), 7u);
}

TEST(Greedy, EndsWhereThePositionsEnd) {
  FakeSource source = speaker(ids_of(" one two three four five six"), kPrompt.size(), 5);
  const GreedyResult result = greedy(source, demo(), kPrompt, {}, {});
  EXPECT_EQ(result.ids.size(), 3u);  // after 3, 4 and 5 tokens
  EXPECT_EQ(result.stop, "context full");
}

TEST(Greedy, RefusesWhatMakesNoSense) {
  FakeSource source = speaker({}, 3, 2);
  const auto run = [&](const std::vector<int32_t>& prompt, const GreedyOptions& options) {
    return [&source, prompt, options] { greedy(source, demo(), prompt, options, {}); };
  };
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, run(kPrompt, {})),
            "the prompt has 3 tokens, the model's context is 2");
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, run({}, {})), "the prompt has no tokens");
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, run({1}, {.max_tokens = -1})),
            "-1 tokens to generate: must be 0 or more");
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, run({1}, {.stops = {"x", ""}})),
            "an empty stop string would stop every text at its start");
  FakeSource broken(demo().vocab_size(), [](std::span<const int32_t>, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[4] = std::numeric_limits<float>::quiet_NaN();
  });
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed, [&] { greedy(broken, demo(), kPrompt, {}, {}); }),
            "logit of token 4 is nan at position 2");
}

}  // namespace
}  // namespace bitloom
