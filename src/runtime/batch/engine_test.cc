#include "runtime/batch/engine.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

struct Demo {
  ThreadPool pool{2};
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  Decoder decoder{checkpoint, pool};

  TextRequest request(int64_t tokens, uint64_t seed = 0) const {
    return {.prompt = checkpoint->tokenizer().encode("Once upon a time"),
            .sampler = {.temperature = 50, .top_k = 0, .top_p = 1, .min_p = 0, .seed = seed},
            .max_tokens = tokens,
            .stop = {}};
  }
};

/// Counts ends by their reason.
struct Ends {
  std::atomic<int> of[6] = {};
  TextSink sink() {
    return {{}, [this](const TextEnd& end) { ++of[static_cast<size_t>(end.reason)]; }};
  }
  int operator[](EndReason reason) const { return of[static_cast<size_t>(reason)]; }
};

TEST(Engine, AnswersAllThreads) {
  Demo demo;
  Ends ends;
  Engine engine(demo.decoder, demo.checkpoint->tokenizer(), demo.pool, {}, 100);
  std::vector<std::thread> clients;
  for (uint64_t c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 5; ++i) EXPECT_EQ(engine.submit({{demo.request(10, c), ends.sink()}}), Admission::kAccepted);
    });
  }
  for (std::thread& client : clients) client.join();
  engine.close(60);
  EXPECT_EQ(ends[EndReason::kLength] + ends[EndReason::kEnd], 40);
  EXPECT_EQ(engine.counts().requests, 40);
  EXPECT_EQ(engine.counts().running + engine.counts().waiting, 0);
}

TEST(Engine, WhoHearsOfAnEndFindsItCounted) {
  Demo demo;
  Engine engine(demo.decoder, demo.checkpoint->tokenizer(), demo.pool, {}, 10);
  BatchCounts counts;
  int64_t tokens = 0;
  TextSink sink;
  sink.on_end = [&](const TextEnd& end) { counts = engine.counts(), tokens = end.tokens; };
  ASSERT_EQ(engine.submit({{demo.request(10), std::move(sink)}}), Admission::kAccepted);
  engine.close(60);
  EXPECT_GT(tokens, 0);
  EXPECT_GE(counts.tokens, tokens);
  EXPECT_EQ(counts.running, 0);
  EXPECT_EQ(counts.pages_held, 0);
}

TEST(Engine, TheQueueIsBoundedAndTakesAllOrNone) {
  Demo demo;
  Ends ends;
  Engine engine(demo.decoder, demo.checkpoint->tokenizer(), demo.pool, {.sequences = 1}, 2);
  ASSERT_EQ(engine.submit({{demo.request(240), ends.sink()}}), Admission::kAccepted);
  while (engine.counts().running == 0) std::this_thread::yield();
  EXPECT_EQ(
      engine.submit({{demo.request(1), ends.sink()}, {demo.request(1), ends.sink()}, {demo.request(1), ends.sink()}}),
      Admission::kFull);
  EXPECT_EQ(engine.submit({{demo.request(1), ends.sink()}, {demo.request(1), ends.sink()}}), Admission::kAccepted);
  EXPECT_THROW(engine.submit({{demo.request(-1), ends.sink()}}), Error);
  engine.close(60);
  EXPECT_EQ(engine.counts().requests, 3);
  EXPECT_EQ(engine.submit({{demo.request(1), ends.sink()}}), Admission::kClosing);
}

TEST(Engine, FreePlacesCountAndWhatNeverFitsIsMisuse) {
  Demo demo;
  Ends ends;
  Engine engine(demo.decoder, demo.checkpoint->tokenizer(), demo.pool, {.sequences = 2}, 1);
  const auto several = [&](int count) {
    std::vector<std::pair<TextRequest, TextSink>> requests;
    for (int i = 0; i < count; ++i) requests.emplace_back(demo.request(200), ends.sink());
    return requests;
  };
  EXPECT_THROW(engine.submit(several(4)), Error);
  EXPECT_EQ(engine.submit(several(3)), Admission::kAccepted) << "two run, one waits";
  EXPECT_EQ(engine.submit(several(1)), Admission::kFull);
  engine.close(60);
  EXPECT_EQ(engine.counts().requests, 3);
}

TEST(Engine, ClosingCutsWhatTakesTooLong) {
  Demo demo;
  Ends ends;
  {
    Engine engine(demo.decoder, demo.checkpoint->tokenizer(), demo.pool, {.sequences = 2}, 10);
    for (int i = 0; i < 5; ++i) engine.submit({{demo.request(250), ends.sink()}});
    engine.close(0.001);
    EXPECT_EQ(engine.counts().running, 0);
  }
  EXPECT_EQ(ends[EndReason::kClosed], 5);
}

}  // namespace
}  // namespace bitloom
