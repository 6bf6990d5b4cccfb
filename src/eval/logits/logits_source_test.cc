// Sources over a decoder: with a cache against whole sequences, for every architecture of tests/golden/forward.

#include "eval/logits/logits_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_data.h"
#include "io/test_support.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using Tokens = std::vector<int32_t>;

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(testing::golden("forward")))
    if (std::filesystem::exists(entry.path() / "config.json")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Tokens random_tokens(uint64_t seed, int64_t count, int64_t vocab) {
  Rng rng(seed, 3);
  Tokens tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(rng.next_u32() % static_cast<uint64_t>(vocab)));
  return tokens;
}

Tokens joined(Tokens head, const Tokens& tail) {
  head.insert(head.end(), tail.begin(), tail.end());
  return head;
}

class Sources : public ::testing::TestWithParam<std::string> {
 protected:
  ThreadPool threads_{2};
  std::shared_ptr<const Checkpoint> checkpoint_ = Checkpoint::open(testing::golden("forward/" + GetParam()));
  Decoder decoder_{checkpoint_, threads_};
  int64_t vocab_ = decoder_.graph().vocab_size;
  std::unique_ptr<LogitsSource> whole_ = logits_of(decoder_), steps_ = logits_of_steps(decoder_);

  Tokens random(uint64_t seed, int64_t count) const { return random_tokens(seed, count, vocab_); }

  std::vector<float> expected(const Tokens& tokens) {
    whole_->run(tokens);
    std::vector<float> out(tokens.size() * static_cast<size_t>(vocab_));
    whole_->logits(0, static_cast<int64_t>(tokens.size()), out.data());
    return out;
  }

  // Sums of other order; see decoder_test.cc for the bound. A row's range is that of its own logits.
  void expect_rows(const std::vector<float>& actual, const std::vector<float>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    if (expected.empty()) return;
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    float worst = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      const float difference = std::abs(actual[i] - expected[i]);
      if (!(difference <= worst)) worst = difference;
    }
    EXPECT_LE(worst, 1e-5f * (*high - *low));
  }

  void expect_steps(const Tokens& tokens) {
    steps_->run(tokens);
    std::vector<float> out(tokens.size() * static_cast<size_t>(vocab_));
    steps_->logits(0, static_cast<int64_t>(tokens.size()), out.data());
    expect_rows(out, expected(tokens));
  }
};

TEST_P(Sources, StepsEqualWholeSequencesWhateverWasRunBefore) {
  const Tokens stem = random(1, 20);
  expect_steps(stem);
  expect_steps(joined(stem, random(2, 9)));                          // grown
  expect_steps(joined(stem, random(3, 14)));                         // another branch
  expect_steps(Tokens(stem.begin(), stem.begin() + 7));              // cut
  expect_steps(joined(Tokens(stem.begin(), stem.begin() + 7), {}));  // the same again
  expect_steps(random(4, 30));                                       // something else
  expect_steps({});
  expect_steps(random(5, 1));
}

TEST_P(Sources, GrowingTokenByTokenEqualsWholeSequences) {
  const Tokens all = random(6, 40);
  std::vector<float> out(static_cast<size_t>(vocab_) * all.size());
  for (size_t length = 1; length <= all.size(); ++length) {
    steps_->run(std::span(all).first(length));
    steps_->logits(static_cast<int64_t>(length) - 1, 1, out.data() + (length - 1) * static_cast<size_t>(vocab_));
  }
  expect_rows(out, expected(all));
}

// Every row of every sequence, through both sources' run_all() and through plain run().
TEST_P(Sources, ManySequencesEqualSingleOnes) {
  const Tokens stem = random(7, 12), shot = random(8, 6);
  const std::vector<std::vector<Tokens>> calls = {
      {joined(stem, random(1, 5)), joined(stem, shot), joined(joined(stem, shot), random(2, 4)), stem},
      {joined(joined(stem, shot), random(3, 3)), joined(joined(stem, shot), random(4, 2))},  // some was kept
      {random(5, 9), random(6, 2)},                                                          // nothing shared
      {stem},
      {stem, stem}};
  for (const std::vector<Tokens>& sequences : calls) {
    std::vector<LogitsSource::Row> rows;
    std::vector<float> wanted;
    for (size_t s = 0; s < sequences.size(); ++s) {
      const std::vector<float> all = expected(sequences[s]);
      wanted.insert(wanted.end(), all.begin(), all.end());
      for (size_t i = 0; i < sequences[s].size(); ++i)
        rows.push_back({static_cast<int64_t>(s), static_cast<int64_t>(i)});
    }
    for (LogitsSource* source : {whole_.get(), steps_.get()}) {
      source->run_all(sequences);
      std::vector<float> out(rows.size() * static_cast<size_t>(vocab_));
      source->logits_at(rows, out.data());
      expect_rows(out, wanted);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Sources, ::testing::ValuesIn(architectures()),
                         [](const auto& test) { return test.param; });

TEST(SteppingLogits, LongSequencesGoInPieces) {
  ThreadPool threads{2};
  Decoder decoder(Checkpoint::open(testing::golden("forward/llama")), threads);
  const Tokens tokens = random_tokens(8, 1300, decoder.graph().vocab_size);
  const auto steps = logits_of_steps(decoder), threes = logits_of_steps(decoder, 3), whole = logits_of(decoder);
  for (LogitsSource* source : {steps.get(), threes.get(), whole.get()}) source->run(tokens);
  std::vector<float> a(64 * 5), b(64 * 5);
  for (const int64_t first : {0, 510, 1022, 1295}) {
    whole->logits(first, 5, b.data());
    for (LogitsSource* source : {steps.get(), threes.get()}) {
      source->logits(first, 5, a.data());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4) << first;
    }
  }
}

TEST(SteppingLogits, ARefusedRunLeavesAConsistentSource) {
  ThreadPool threads{2};
  Decoder decoder(Checkpoint::open(testing::golden("forward/llama")), threads);
  const auto source = logits_of_steps(decoder), fresh = logits_of_steps(decoder);
  source->run(Tokens{1, 2, 3, 4});
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused,
                                  [&] {
                                    source->run(Tokens{1, 2, 9, 99});
                                  }),
              ::testing::HasSubstr("token id 99"));
  std::vector<float> a(64 * 3), b(64 * 3);
  source->run(Tokens{1, 2, 3}), fresh->run(Tokens{1, 2, 3});
  source->logits(2, 1, a.data()), fresh->logits(2, 1, b.data());
  for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(a[i], b[i], 1e-5f);
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed, [&] { source->logits(2, 2, a.data()); }),
            "logits at positions 2..3 of a sequence of 3");
}

TEST(SteppingLogits, RowsThatWereNotRun) {
  ThreadPool threads{2};
  Decoder decoder(Checkpoint::open(testing::golden("forward/llama")), threads);
  const auto steps = logits_of_steps(decoder), whole = logits_of(decoder);
  const std::vector<Tokens> sequences = {{1, 2, 3}, {1, 2}};
  std::vector<float> out(64);
  for (LogitsSource* source : {steps.get(), whole.get()}) {
    source->run_all(sequences);
    for (const LogitsSource::Row row : {LogitsSource::Row{2, 0}, {-1, 0}, {1, 2}, {0, -1}})
      EXPECT_THAT(testing::message_of(ErrorKind::kFailed,
                                      [&] {
                                        source->logits_at({&row, 1}, out.data());
                                      }),
                  ::testing::HasSubstr("logits at position"));
  }
  steps->run(Tokens{1, 2, 3});
  const LogitsSource::Row first;
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed,
                                [&] {
                                  steps->logits_at({&first, 1}, out.data());
                                }),
            "logits at position 0 of sequence 0, which was not run");
  steps->run_all({});
}

}  // namespace
}  // namespace bitloom
