#include "runtime/batch/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/test_data.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

/// What one request gave.
struct Answer {
  std::string text;
  std::vector<TokenLogprob> tokens;
  std::vector<int64_t> passes;  // in which a piece came
  int ends = 0;
  TextEnd end;
};

struct Demo {
  explicit Demo(const BatchLimits& limits = {}) : batcher(decoder, tokenizer, pool, limits) {}

  ThreadPool pool{2};
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  const Tokenizer& tokenizer = checkpoint->tokenizer();
  Decoder decoder{checkpoint, pool};
  Batcher batcher;

  TextRequest greedy(const std::string& prompt, int64_t tokens) const {
    return {.prompt = tokenizer.encode(prompt),
            .sampler = {.temperature = 0},
            .max_tokens = tokens,
            .stop = {},
            .top_logprobs = -1};
  }
  std::shared_ptr<Answer> add(TextRequest request) {
    batcher.check(request);
    auto answer = std::make_shared<Answer>();
    batcher.add(std::move(request), {[answer, this](TextPiece piece) {
                                       answer->text += piece.text;
                                       for (TokenLogprob& token : piece.tokens)
                                         answer->tokens.push_back(std::move(token));
                                       answer->passes.push_back(batcher.counts().passes);
                                     },
                                     [answer](const TextEnd& end) {
                                       ++answer->ends;
                                       answer->end = end;
                                     }});
    return answer;
  }
  void finish() {
    while (!batcher.idle()) batcher.step();
  }
  GenerateResult alone(const std::string& prompt, int64_t tokens, const SamplerOptions& sampler = {.temperature = 0}) {
    return generate(decoder, tokenizer, prompt, {tokens, sampler}, {});
  }
};

// Stories whose two best logits are never nearer than 1e-3 (tests/oracle/runtime_greedy.py): sums in another order give
// the same tokens, and so do keys and values of 16 bits.
void expect_golden_answers(KvFormat kv) {
  Demo demo({.kv = kv});
  const Json golden = read_json(testing::golden("runtime/greedy.json"));
  std::vector<std::shared_ptr<Answer>> answers;
  for (int copy = 0; copy < 4; ++copy) {
    for (const Json& entry : golden) {
      answers.push_back(demo.add(demo.greedy(entry.at("prompt"), static_cast<int64_t>(entry.at("ids").size()))));
      demo.batcher.step();  // they enter one after the other
    }
  }
  demo.finish();
  for (size_t i = 0; i < answers.size(); ++i) {
    const Json& entry = golden.at(i % golden.size());
    EXPECT_EQ(answers[i]->text, entry.at("text").get<std::string>()) << i;
    EXPECT_EQ(answers[i]->ends, 1);
    EXPECT_EQ(answers[i]->end.reason, EndReason::kLength);
    EXPECT_EQ(answers[i]->end.tokens, static_cast<int64_t>(entry.at("ids").size()));
    EXPECT_EQ(answers[i]->end.prompt_tokens, static_cast<int64_t>(entry.at("prompt_ids").size()));
  }
  EXPECT_EQ(demo.batcher.counts().pages_held, 0);
}

TEST(Batcher, GreedyAnswersAreThoseGivenAlone) { expect_golden_answers(KvFormat::kFp32); }

TEST(Batcher, SoTheyAreOfKeysAndValuesOfSixteenBits) { expect_golden_answers(KvFormat::kFp16); }

TEST(Batcher, TheSeedDecides) {
  Demo demo;
  const SamplerOptions sampler{.seed = 7};
  TextRequest request = demo.greedy("Once upon a time", 40);
  request.sampler = sampler;
  const auto first = demo.add(request), second = demo.add(request);
  request.sampler.seed = 8;
  const auto other = demo.add(request);
  demo.finish();
  EXPECT_EQ(first->text, second->text);
  EXPECT_NE(first->text, other->text);
  EXPECT_EQ(first->text, demo.alone("Once upon a time", 40, sampler).text);
}

std::string words(int count, const std::string& word = " the") {
  std::string text;
  for (int i = 0; i < count; ++i) text += word;
  return text;
}

TEST(Batcher, APromptSeenBeforeIsShared) {
  Demo demo;
  const std::string beginning = words(100);
  const auto first = demo.add(demo.greedy(beginning + " cat", 10));
  demo.finish();
  const int64_t computed = demo.batcher.counts().prompt_tokens;
  EXPECT_EQ(first->end.shared_tokens, 0);
  const auto second = demo.add(demo.greedy(beginning + " dog", 10));
  demo.finish();
  EXPECT_EQ(second->end.shared_tokens, 96);  // three pages of 32
  EXPECT_EQ(demo.batcher.counts().prompt_tokens - computed, second->end.prompt_tokens - 96);
  EXPECT_EQ(second->text, demo.alone(beginning + " dog", 10).text);
}

// Eight answers to one prompt: it is computed once, but for what fills no page.
TEST(Batcher, ThoseWhoComeAtOnceWaitForTheirCommonPrompt) {
  Demo demo;
  const std::string prompt = words(199);  // with BOS 200 tokens: 192 of them in pages
  std::vector<std::shared_ptr<Answer>> answers;
  for (int i = 0; i < 8; ++i) answers.push_back(demo.add(demo.greedy(prompt, 5)));
  const auto other = demo.add(demo.greedy("Once upon a time", 5));
  demo.batcher.step();
  EXPECT_EQ(demo.batcher.counts().running, 2) << "the other one passes them";
  demo.finish();
  EXPECT_EQ(demo.batcher.counts().prompt_tokens, 200 + 7 * 8 + other->end.prompt_tokens);
  for (const auto& answer : answers) EXPECT_EQ(answer->text, answers[0]->text);
  EXPECT_EQ(answers[0]->text, demo.alone(prompt, 5).text);
}

TEST(Batcher, ALongPromptDoesNotStopOthers) {
  Demo demo({.prompt_rows = 16});
  const auto talker = demo.add(demo.greedy("Once upon a time", 60));
  demo.batcher.step();
  const auto reader = demo.add(demo.greedy(words(150), 5));
  demo.finish();
  EXPECT_EQ(talker->passes.size(), 60u);
  for (size_t i = 1; i < talker->passes.size(); ++i) EXPECT_EQ(talker->passes[i], talker->passes[i - 1] + 1);
  EXPECT_GE(reader->passes.front() - talker->passes.front(), 9) << "150 tokens, 16 at a time";
  EXPECT_LE(reader->passes.front() - talker->passes.front(), 12);
}

TEST(Batcher, AShortPromptPassesALongOne) {
  Demo demo({.prompt_rows = 32});
  const auto talker = demo.add(demo.greedy("Once upon a time", 60));
  demo.batcher.step();
  const auto reader = demo.add(demo.greedy(words(200), 5));
  const auto quick = demo.add(demo.greedy("The dog", 5));
  demo.finish();
  EXPECT_EQ(quick->passes.front(), talker->passes.front() + 1);
  EXPECT_GT(reader->passes.front(), quick->passes.back());
}

TEST(Batcher, WaitsWhereNothingIsFreeAndKeepsTheOrder) {
  Demo demo({.sequences = 2, .pages = 4});
  std::vector<std::shared_ptr<Answer>> answers;
  for (const char* prompt : {"Once", "She", "The", "A", "One"}) answers.push_back(demo.add(demo.greedy(prompt, 12)));
  const auto large = demo.add(demo.greedy(words(90), 20));  // all four pages
  const auto small = demo.add(demo.greedy("He", 12));
  while (!demo.batcher.idle()) {
    demo.batcher.step();
    EXPECT_LE(demo.batcher.counts().running, 2);
    EXPECT_LE(demo.batcher.counts().pages_held, 4);
  }
  for (size_t i = 2; i < answers.size(); ++i) EXPECT_GE(answers[i]->passes.front(), answers[i - 2]->passes.back());
  EXPECT_GT(large->passes.front(), answers.back()->passes.back());
  EXPECT_GT(small->passes.front(), large->passes.back()) << "it does not pass the one that needs more";
}

TEST(Batcher, StopsEndAnAnswerAndAreNoPartOfIt) {
  Demo demo;
  const std::string whole = demo.alone("Once upon a time", 40).text;
  const std::string stop = whole.substr(30, 5);
  TextRequest request = demo.greedy("Once upon a time", 40);
  request.stop = {"never in a story of bears", stop};
  request.top_logprobs = 0;
  const auto answer = demo.add(request);
  demo.finish();
  EXPECT_EQ(answer->text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(answer->end.reason, EndReason::kEnd);
  std::vector<int32_t> ids;
  for (const TokenLogprob& token : answer->tokens) ids.push_back(token.id);
  EXPECT_TRUE(demo.tokenizer.decode(ids).starts_with(answer->text)) << "the tokens are those of the text";
  ids.pop_back();
  EXPECT_LT(demo.tokenizer.decode(ids).size(), answer->text.size());
}

TEST(Batcher, LogprobsAreTheModels) {
  Demo demo;
  TextRequest request = demo.greedy("Once upon a time", 6);
  request.sampler.repeat_penalty = 2;  // changes what is chosen, not what is told
  request.top_logprobs = 3;
  const auto answer = demo.add(request);
  demo.finish();
  ASSERT_EQ(answer->tokens.size(), 6u);
  std::vector<int32_t> ids = request.prompt;
  for (const TokenLogprob& token : answer->tokens) {
    std::vector<float> logits(static_cast<size_t>(demo.decoder.graph().vocab_size));
    const std::span<const float> hidden = demo.decoder.forward(ids, 1, static_cast<int64_t>(ids.size()));
    demo.decoder.logits(hidden.last(static_cast<size_t>(demo.decoder.hidden_width())), 1, logits.data());
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    // fp32 logits of about 20, after sums in another order.
    const auto expect = [&](int32_t id, double logprob) {
      EXPECT_NEAR(logprob, logits[static_cast<size_t>(id)] - std::log(sum), 1e-3);
    };
    expect(token.id, token.logprob);
    ASSERT_EQ(token.top.size(), 3u);
    EXPECT_EQ(token.top[0].first, std::max_element(logits.begin(), logits.end()) - logits.begin());
    EXPECT_GE(token.top[0].second, token.top[1].second);
    for (const auto& [id, logprob] : token.top) expect(id, logprob);
    ids.push_back(token.id);
  }
}

TEST(Batcher, EndsWhatIsCancelledOrLate) {
  Demo demo({.sequences = 2});
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  TextRequest request = demo.greedy("Once upon a time", 200);
  request.cancelled = cancelled;
  const auto first = demo.add(request);
  request.cancelled = nullptr;
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(40);
  const auto late = demo.add(request), never = demo.add(request);  // the last one waits until its time is over
  for (int i = 0; i < 5; ++i) demo.batcher.step();
  *cancelled = true;
  demo.batcher.step();
  EXPECT_EQ(first->end.reason, EndReason::kCancelled);
  EXPECT_EQ(first->end.tokens, 5);
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  demo.batcher.step();
  EXPECT_TRUE(demo.batcher.idle());
  EXPECT_EQ(late->end.reason, EndReason::kTimeLimit);
  EXPECT_EQ(never->end.reason, EndReason::kTimeLimit);
  EXPECT_EQ(demo.batcher.counts().pages_held, 0);
}

TEST(Batcher, EndsAtTheContextsEnd) {
  Demo demo;
  TextRequest request = demo.greedy(words(249), 100);
  request.sampler = {.temperature = 50, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 1};
  const auto answer = demo.add(request);
  demo.finish();
  EXPECT_EQ(answer->end.reason, EndReason::kLength);
  EXPECT_EQ(answer->end.tokens, 7);  // 250 of 256 positions, and one token after the last
}

TEST(Batcher, WhatCanNeverBeAnsweredIsRefused) {
  Demo demo({.pages = 4});
  const auto refusal = [&](const TextRequest& request, ErrorKind kind) {
    return testing::message_of(kind, [&] { demo.batcher.check(request); });
  };
  EXPECT_THAT(refusal(demo.greedy(words(300), 1), ErrorKind::kRefused),
              HasSubstr("301 tokens, the model's context is 256"));
  EXPECT_THAT(refusal(demo.greedy("Once", 200), ErrorKind::kRefused), HasSubstr("there are 128"));
  TextRequest request = demo.greedy("Once", 5);
  request.prompt = {};
  EXPECT_THAT(refusal(request, ErrorKind::kRefused), HasSubstr("no tokens"));
  request.prompt = {1, 4096};
  EXPECT_THAT(refusal(request, ErrorKind::kRefused), HasSubstr("token 4096"));
  request = demo.greedy("Once", 5);
  request.sampler.top_p = 2;
  EXPECT_THAT(refusal(request, ErrorKind::kUsage), HasSubstr("top-p 2"));
}

}  // namespace
}  // namespace bitloom
