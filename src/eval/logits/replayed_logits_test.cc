// A reference that runs each window once.

#include "eval/logits/replayed_logits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using Tokens = std::vector<int32_t>;

std::vector<float> logits_after(LogitsSource& source, const Tokens& tokens) {
  source.run(tokens);
  std::vector<float> out(tokens.size() * static_cast<size_t>(source.vocab_size()));
  source.logits(0, static_cast<int64_t>(tokens.size()), out.data());
  return out;
}

class Replayed : public ::testing::Test {
 protected:
  ThreadPool threads_{2};
  Decoder decoder_{Checkpoint::open(testing::golden("forward/llama")), threads_};
  ReplayedLogits replayed_{decoder_};
  const Tokens first_ = {1, 2, 3, 4}, second_ = {1, 2, 3, 5, 6};
};

TEST_F(Replayed, GivesWhatTheDecoderGives) {
  const auto whole = logits_of(decoder_);
  const std::vector<float> first = logits_after(*whole, first_), second = logits_after(*whole, second_);
  ASSERT_NE(first, second);
  EXPECT_EQ(replayed_.vocab_size(), whole->vocab_size());
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_EQ(logits_after(replayed_, first_), first);
    EXPECT_EQ(logits_after(replayed_, second_), second);
  }
}

// What forward() returns lies in the decoder until it runs again.
TEST_F(Replayed, RunsEachWindowOnce) {
  replayed_.run(first_);
  const std::span<const float> states = decoder_.forward(second_, 1, 5);
  const std::vector<float> before(states.begin(), states.end());
  replayed_.run(first_);
  EXPECT_EQ(std::vector<float>(states.begin(), states.end()), before);
  replayed_.run(Tokens{7, 8, 9, 10, 11});  // the test would notice a run
  EXPECT_NE(std::vector<float>(states.begin(), states.end()), before);
}

TEST_F(Replayed, RefusesPositionsThatWereNotRun) {
  std::vector<float> out(8 * static_cast<size_t>(replayed_.vocab_size()));
  replayed_.run(second_);
  replayed_.run(first_);
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed, [&] { replayed_.logits(3, 2, out.data()); }),
            "logits of positions 3 to 5 asked, 4 were run");
}

}  // namespace
}  // namespace bitloom
