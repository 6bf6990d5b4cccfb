#include "eval/tasks/likelihoods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/logits/fake_source.h"
#include "eval/logits/token_tree.h"
#include "io/test_support.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Tokens = std::vector<int32_t>;

const Tokenizer& demo() {
  static const Tokenizer tokenizer = Tokenizer::load("assets/demo");
  return tokenizer;
}

ScoredTokens pair_of(const std::string& context, const std::string& continuation, int64_t positions = 0,
                     bool special = true) {
  return PairEncoder(demo(), positions, special).encode(context, continuation, "d.jsonl:3");
}

TEST(PairEncoder, CutsBothTogether) {
  for (const bool special : {true, false}) {
    const ScoredTokens pair = pair_of("The old man", " sat down.", 0, special);
    EXPECT_EQ(pair.tokens, demo().encode("The old man sat down.", special));
    EXPECT_EQ(demo().decode(std::span(pair.tokens).last(static_cast<size_t>(pair.scored))), " sat down.");
  }
}

TEST(PairEncoder, BlanksGoOverToTheContinuation) {
  const ScoredTokens pair = pair_of("The old man \n", "sat");
  EXPECT_EQ(pair.tokens, demo().encode("The old man \nsat"));
  EXPECT_EQ(demo().decode(std::span(pair.tokens).last(static_cast<size_t>(pair.scored))), " \nsat");
}

// lm_eval reads the context as it is cut alone, and what the whole has behind as many tokens.
TEST(PairEncoder, ATokenOverTheSeamIsLost) {
  Tokens expected = demo().encode("The ol");
  const Tokens whole = demo().encode("The old man sat");
  ASSERT_EQ(whole.size(), expected.size() + 1);
  ASSERT_NE(whole[expected.size() - 1], expected.back());
  expected.push_back(whole.back());
  const ScoredTokens pair = pair_of("The ol", "d man sat");
  EXPECT_EQ(pair.tokens, expected);
  EXPECT_EQ(pair.scored, 1);
}

TEST(PairEncoder, WithoutContext) {
  Tokens expected = demo().encode("Once", false);
  expected.insert(expected.begin(), *demo().bos_id());
  for (const std::string context : {"", " "}) {
    const ScoredTokens pair = pair_of(context, context.empty() ? "Once" : "Once upon");
    if (context.empty()) {
      EXPECT_EQ(pair.tokens, expected);
    }
    EXPECT_EQ(pair.tokens.at(0), *demo().bos_id());
    EXPECT_EQ(pair.scored, static_cast<int64_t>(pair.tokens.size()) - 1);
  }
}

TEST(PairEncoder, LosesTokensOnTheLeft) {
  const ScoredTokens whole = pair_of("The old man sat on the", " chair."),
                     cut = pair_of("The old man sat on the", " chair.", 5);
  ASSERT_GT(whole.tokens.size(), 6u);
  EXPECT_EQ(cut.tokens,
            Tokens(whole.tokens.end() - 6, whole.tokens.end()));  // five are read, the last is only predicted
  EXPECT_EQ(cut.scored, whole.scored);
}

TEST(PairEncoder, Refuses) {
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, [] { pair_of("one", ""); }),
            "d.jsonl:3: no token of its own is left of the continuation ''");
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [] { pair_of("one", " two three four five", 2); }),
              HasSubstr("tokens, the model's context is 2"));
}

ScoredTokens request(Tokens tokens, int64_t scored) { return {std::move(tokens), scored}; }

TEST(Batches, LongestFirstInEveryCluster) {
  const std::vector<RequestGroup> groups = {{{request({1, 2}, 1)}, 1},
                                            {{request({1, 2, 3}, 1), request({1, 2, 3, 4}, 2)}, 0},
                                            {{request({1, 9, 9, 9, 9}, 1)}, 1},
                                            {{request({1, 5}, 1)}, 0}};
  const std::vector<Batch> batches = plan_batches(groups);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_THAT(batches[0].groups, ElementsAre(1, 3, 2, 0));
}

// Items of one cluster share 700 tokens of shots: these are kept from batch to batch and count for none.
TEST(Batches, SharedBeginningsCountOnce) {
  std::vector<RequestGroup> groups;
  Tokens shots(700, 7);
  for (int32_t i = 0; i < 40; ++i) {
    RequestGroup group;
    Tokens context = shots;
    for (int32_t k = 0; k < 20; ++k) context.push_back(100 + i);
    for (int32_t c = 0; c < 4; ++c) {
      Tokens tokens = context;
      for (int32_t k = 0; k < 10; ++k) tokens.push_back(1000 + c);
      group.requests.push_back({tokens, 10});
    }
    groups.push_back(group);
  }
  const std::vector<Batch> batches = plan_batches(groups);
  ASSERT_EQ(batches.size(), 5u);  // an item costs 20 + 4 * 10 tokens: eight fit 512
  for (const Batch& batch : batches) {
    EXPECT_EQ(batch.groups.size(), 8u);
    EXPECT_EQ(batch.tokens, 700 + 8 * 60);
    std::vector<Tokens> sequences;
    for (const size_t g : batch.groups)
      for (const ScoredTokens& r : groups[g].requests) sequences.push_back(r.tokens);
    EXPECT_EQ(token_tree(sequences, 0).total_rows, batch.tokens);
    EXPECT_EQ(common_prefix(sequences), 700u);
  }
}

TEST(Batches, AGroupIsNeverCut) {
  const std::vector<RequestGroup> groups = {{{request(Tokens(2000, 1), 1), request(Tokens(900, 2), 1)}, 0}};
  ASSERT_EQ(plan_batches(groups).size(), 1u);
  EXPECT_TRUE(plan_batches({}).empty());
}

std::vector<RequestGroup> random_groups(int64_t vocab) {
  Rng rng(11, 0);
  std::vector<RequestGroup> groups;
  for (int g = 0; g < 30; ++g) {
    RequestGroup group;
    group.cluster = rng.next_u32() % 2;
    Tokens context;
    for (uint32_t left = 1 + rng.next_u32() % 40; left > 0; --left)
      context.push_back(static_cast<int32_t>(rng.next_u32() % static_cast<uint32_t>(vocab)));
    for (uint32_t r = 1 + rng.next_u32() % 4; r > 0; --r) {
      ScoredTokens one{context, 1 + static_cast<int64_t>(rng.next_u32() % 6)};
      for (int64_t i = 0; i < one.scored; ++i)
        one.tokens.push_back(static_cast<int32_t>(rng.next_u32() % static_cast<uint32_t>(vocab)));
      group.requests.push_back(std::move(one));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

struct Fixture {
  explicit Fixture(int threads = 2) : pool(threads) {}
  ThreadPool pool;
  Progress silent;
  Context context{pool, silent};
};

// sum_i log p(token_i | tokens before it), term by term in long double, one request after another.
TEST(Likelihoods, EqualTheirDefinition) {
  constexpr int64_t kVocab = 50;
  testing::FakeSource model = testing::random_source(kVocab, 3);
  const std::vector<RequestGroup> groups = random_groups(kVocab);
  Fixture fixture;
  const auto found = log_likelihoods(model, groups, "test", fixture.context);
  ASSERT_EQ(found.size(), groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    ASSERT_EQ(found[g].size(), groups[g].requests.size());
    for (size_t r = 0; r < found[g].size(); ++r) {
      const ScoredTokens& request = groups[g].requests[r];
      const auto size = static_cast<int64_t>(request.tokens.size());
      long double sum = 0;
      bool all = true;
      for (int64_t at = size - request.scored; at < size; ++at) {
        std::vector<float> row(kVocab);
        model.run(std::span(request.tokens).first(static_cast<size_t>(at)));
        model.logits(at - 1, 1, row.data());
        const auto token = static_cast<size_t>(request.tokens[static_cast<size_t>(at)]);
        sum += testing::slow_log_softmax(row)[token];
        all = all && std::max_element(row.begin(), row.end()) - row.begin() == static_cast<int64_t>(token);
      }
      EXPECT_NEAR(found[g][r].log_likelihood, static_cast<double>(sum), 1e-10);
      EXPECT_EQ(found[g][r].tokens, request.scored);
      EXPECT_EQ(found[g][r].greedy, all);
    }
  }
}

TEST(Likelihoods, Greedy) {
  testing::FakeSource model(9, [](std::span<const int32_t> tokens, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[static_cast<size_t>((tokens.back() + 1) % 9)] = logits[8] = 2;  // the next number, or as likely 8
  });
  const std::vector<RequestGroup> groups = {{{request({1, 2, 3}, 2), request({1, 2, 4}, 2), request({1, 8}, 1)}, 0}};
  Fixture fixture;
  const auto found = log_likelihoods(model, groups, "test", fixture.context);
  EXPECT_TRUE(found[0][0].greedy);
  EXPECT_FALSE(found[0][1].greedy);
  EXPECT_FALSE(found[0][2].greedy);  // the lowest id among equals is greedy's
  const double equal = 2 - std::log(2 * std::exp(2) + 7);
  EXPECT_NEAR(found[0][0].log_likelihood, 2 * equal, 1e-12);
  EXPECT_NEAR(found[0][2].log_likelihood, equal, 1e-12);
}

// Batched trees behind a cache against whole sequences one by one, and the same bytes for any number of threads.
TEST(Likelihoods, OfARealModel) {
  const auto checkpoint = Checkpoint::open("assets/demo");
  const std::vector<RequestGroup> groups = random_groups(checkpoint->graph().vocab_size);
  std::vector<std::vector<double>> results;
  for (const int threads : {2, 1, 3}) {
    Fixture fixture(threads);
    Decoder decoder(checkpoint, fixture.pool);
    const auto steps = logits_of_steps(decoder), whole = logits_of(decoder);
    const auto found = log_likelihoods(*steps, groups, "test", fixture.context);
    results.emplace_back();
    for (const auto& group : found)
      for (const Likelihood& one : group) results.back().push_back(one.log_likelihood);
    if (threads != 2) continue;
    const auto expected = log_likelihoods(*whole, groups, "test", fixture.context);
    for (size_t g = 0; g < groups.size(); ++g)
      for (size_t r = 0; r < found[g].size(); ++r)
        // Logits of about 20 in fp32 after some reordering: 1e-5 a token is many times their rounding.
        EXPECT_NEAR(found[g][r].log_likelihood, expected[g][r].log_likelihood,
                    1e-4 * static_cast<double>(found[g][r].tokens));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Likelihoods, Refuse) {
  Fixture fixture;
  testing::FakeSource broken(5, [](std::span<const int32_t> tokens, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    if (tokens.size() == 2) logits[3] = std::numeric_limits<float>::infinity();
  });
  const std::vector<RequestGroup> groups = {{{request({1, 2, 3}, 2)}, 0}}, foreign = {{{request({1, 5}, 1)}, 0}};
  EXPECT_EQ(testing::message_of(ErrorKind::kFailed, [&] { log_likelihoods(broken, groups, "piqa", fixture.context); }),
            "piqa: logit of token 3 is not finite at position 1");
  EXPECT_EQ(
      testing::message_of(ErrorKind::kRefused, [&] { log_likelihoods(broken, foreign, "piqa", fixture.context); }),
      "token 5 is outside the model's vocabulary of 5: the tokenizer is not this model's");
}

}  // namespace
}  // namespace bitloom
