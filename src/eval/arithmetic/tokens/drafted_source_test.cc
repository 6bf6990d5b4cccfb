#include "eval/arithmetic/tokens/drafted_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/logits/fake_source.h"

namespace bitloom::arithmetic {
namespace {

using ::testing::ElementsAre;

/// A model that keeps what it was asked to run.
class Recorder final : public LogitsSource {
 public:
  explicit Recorder(int64_t limit = 0) : limit_(limit) {}
  int64_t vocab_size() const override { return fake_.vocab_size(); }
  int64_t max_positions() const override { return limit_; }
  void run(std::span<const int32_t> tokens) override {
    runs.emplace_back(tokens.begin(), tokens.end());
    fake_.run(tokens);
  }
  void logits(int64_t first, int64_t count, float* out) override { fake_.logits(first, count, out); }

  std::vector<std::vector<int32_t>> runs;

 private:
  testing::FakeSource fake_ = testing::random_source(9, 1);
  int64_t limit_;
};

std::vector<float> last_logits(LogitsSource& source, const std::vector<int32_t>& tokens) {
  std::vector<float> row(9);
  source.run(tokens);
  source.logits(std::ssize(tokens) - 1, 1, row.data());
  return row;
}

TEST(DraftedSource, ReadsAheadAndGivesTheModelsOwnLogits) {
  Recorder model, plain;
  DraftedSource source(model);
  source.expect({5, 6, 7});
  for (const std::vector<int32_t>& tokens :
       std::vector<std::vector<int32_t>>{{1, 2}, {1, 2, 5}, {1, 2, 5, 6}, {1, 2, 5, 6, 8}, {1, 2, 5, 6, 8, 3}})
    EXPECT_EQ(last_logits(source, tokens), last_logits(plain, tokens));
  EXPECT_THAT(model.runs,
              ElementsAre(ElementsAre(1, 2, 5, 6, 7), ElementsAre(1, 2, 5, 6, 8), ElementsAre(1, 2, 5, 6, 8, 3)));
  source.expect({4});
  last_logits(source, {1, 2});
  EXPECT_THAT(model.runs.back(), ElementsAre(1, 2, 4));
}

TEST(DraftedSource, NeverReadsPastTheModelsPositions) {
  Recorder model(4);
  DraftedSource source(model);
  source.expect({5, 6, 7});
  last_logits(source, {1, 2});
  EXPECT_THAT(model.runs.back(), ElementsAre(1, 2));
}

}  // namespace
}  // namespace bitloom::arithmetic
