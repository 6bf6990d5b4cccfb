#include "eval/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "eval/logits/fake_source.h"

namespace bitloom {
namespace {

using testing::FakeSource;
using ::testing::HasSubstr;
using testing::random_source;
using testing::random_windows;

struct RecordingProgress : Progress {
  std::string label;
  int64_t total = -1, done = 0, calls = 0, ends = 0;
  void begin(const std::string& text, int64_t units) override { label = text, total = units; }
  void advance(int64_t units, const std::string&) override { done += units, ++calls; }
  void end() override { ++ends; }
};

PerplexityResult run(LogitsSource& model, const TextWindows& windows, int threads = 2) {
  ThreadPool pool(threads);
  Progress silent;
  Context context{pool, silent};
  return perplexity(model, windows, context);
}

std::string message_of(LogitsSource& model, const TextWindows& windows) {
  try {
    run(model, windows);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Perplexity, OfAUniformModelIsItsVocabulary) {
  FakeSource model(50, [](std::span<const int32_t>, std::span<float> out) { std::fill(out.begin(), out.end(), 2.0f); });
  const PerplexityResult out = run(model, random_windows(9, 20, 1, 50));
  EXPECT_NEAR(out.nll, std::log(50.0), 1e-14);  // 51 roundings of 2^-53 in Z, as many in the mean
  EXPECT_NEAR(out.perplexity, 50, 1e-12);
  EXPECT_NEAR(out.perplexity_low, 50, 1e-12);
  EXPECT_NEAR(out.perplexity_high, 50, 1e-12);
  EXPECT_EQ(out.tokens, 9 * 19);
  EXPECT_EQ(out.windows, 9);
  EXPECT_EQ(out.bits_per_byte, 0);
}

// The fake model's logits depend on position and last token, so a row paired with the wrong target shows.
TEST(Perplexity, AgreesWithTheSlowDefinition) {
  const TextWindows windows = random_windows(9, 150, 71, 31);  // 79 scored positions: two blocks of rows
  FakeSource model = random_source(31, 2.0);
  long double sum = 0;
  for (const TextWindows::Window& window : windows.windows) {
    for (size_t t = static_cast<size_t>(window.first_scored); t < window.tokens.size(); ++t) {
      model.run(std::span(window.tokens).first(t));
      std::vector<float> row(31);
      model.logits(static_cast<int64_t>(t) - 1, 1, row.data());
      sum -= testing::slow_log_softmax(row)[static_cast<size_t>(window.tokens[t])];
    }
  }
  const PerplexityResult out = run(model, windows);
  EXPECT_EQ(out.tokens, 9 * 79);
  // A loss below 20 is off by at most 60 * 2^-52; their sum of 711 terms rounds to 2^-53 of at most 14220 each time.
  EXPECT_NEAR(out.nll, static_cast<double>(sum / 711), 60 * 0x1p-52 + 14220 * 0x1p-53);
  EXPECT_DOUBLE_EQ(out.perplexity, std::exp(out.nll));
  EXPECT_LT(out.perplexity_low, out.perplexity);
  EXPECT_GT(out.perplexity_high, out.perplexity);
  EXPECT_EQ(out.interval, "Student t over 9 windows");
}

TEST(Perplexity, IsTheSameForAnyNumberOfThreads) {
  const TextWindows windows = random_windows(3, 200, 1, 101);
  FakeSource model = random_source(101, 3.0);
  const PerplexityResult one = run(model, windows, 1);
  for (const int threads : {2, 3, 7}) {
    const PerplexityResult many = run(model, windows, threads);
    EXPECT_EQ(one.nll, many.nll);
    EXPECT_EQ(one.perplexity_low, many.perplexity_low);
    EXPECT_EQ(one.perplexity_high, many.perplexity_high);
  }
}

// ln V nats a token, four bytes a token, V = 16: 4 bits a token, one bit a byte.
TEST(Perplexity, BitsPerByteWhereBytesAreKnown) {
  FakeSource model(16, [](std::span<const int32_t>, std::span<float> out) { std::fill(out.begin(), out.end(), 0.0f); });
  TextWindows windows = random_windows(2, 11, 1, 16);
  windows.scored_bytes = 4 * windows.scored_tokens;
  EXPECT_NEAR(run(model, windows).bits_per_byte, 1.0, 1e-14);
}

TEST(Perplexity, NeverRunsTheLastTokenOfAWindow) {
  size_t longest = 0;
  FakeSource model(8, [&](std::span<const int32_t> tokens, std::span<float> out) {
    longest = std::max(longest, tokens.size());
    std::fill(out.begin(), out.end(), 0.0f);
  });
  run(model, random_windows(2, 17, 1, 8), 1);
  EXPECT_EQ(longest, 16u);
}

TEST(Perplexity, NamesTheFirstLogitThatIsNotFinite) {
  const TextWindows windows = random_windows(2, 100, 1, 8);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::infinity()}) {
    FakeSource model(8, [bad](std::span<const int32_t> tokens, std::span<float> out) {
      std::fill(out.begin(), out.end(), 0.0f);
      if (tokens.size() >= 71) out[5] = bad;
    });
    EXPECT_THAT(message_of(model, windows),
                HasSubstr(fmt::format("the model: logit of token 5 is {} at position 70 of window 0", bad)));
  }
}

TEST(Perplexity, RefusesTokensOutsideTheVocabulary) {
  FakeSource model = random_source(30, 1);
  EXPECT_THAT(message_of(model, random_windows(2, 50, 1, 40)), HasSubstr("outside the model's vocabulary of 30"));
  EXPECT_THAT(message_of(model, TextWindows{}), HasSubstr("nothing to score"));
}

TEST(Perplexity, TellsItsProgressInTokens) {
  FakeSource model = random_source(8, 1);
  ThreadPool pool(1);
  RecordingProgress progress;
  Context context{pool, progress};
  perplexity(model, random_windows(5, 21, 11, 8), context);
  EXPECT_EQ(progress.label, "perplexity");
  EXPECT_EQ(progress.total, 5 * 20);
  EXPECT_EQ(progress.done, 5 * 20);
  EXPECT_EQ(progress.calls, 5);
  EXPECT_EQ(progress.ends, 1);
}

TEST(Perplexity, EndsItsProgressWhenTheModelFails) {
  FakeSource model(8, [](std::span<const int32_t>, std::span<float> out) {
    std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
  });
  ThreadPool pool(1);
  RecordingProgress progress;
  Context context{pool, progress};
  EXPECT_THROW(perplexity(model, random_windows(5, 21, 11, 8), context), Error);
  EXPECT_EQ(progress.ends, 1);
}

}  // namespace
}  // namespace bitloom
