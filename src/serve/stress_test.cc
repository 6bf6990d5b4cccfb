// Many clients at once: nothing is lost, none is kept waiting. BITLOOM_STRESS_SECONDS makes it longer.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/test_data.h"
#include "serve/test_server.h"

namespace bitloom {
namespace {

using Clock = std::chrono::steady_clock;
using testing::DemoServer;

struct Record {
  std::vector<double> gaps;          // seconds between pieces of an answer
  std::vector<std::string> streams;  // read when all have ended: a client that parses takes others' turns
  int answers = 0, failed = 0;
  std::string failure;
};

/// One answer as a stream.
void stream_one(httplib::Client& client, const Json& request, Record& record) {
  std::string stream;
  Clock::time_point last;
  httplib::Request post;
  post.method = "POST";
  post.path = "/v1/completions";
  post.body = request.dump();
  post.headers = {{"Content-Type", "application/json"}};
  post.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    const Clock::time_point now = Clock::now();
    if (!stream.empty()) record.gaps.push_back(std::chrono::duration<double>(now - last).count());
    last = now;
    stream.append(data, size);
    return true;
  };
  const auto response = client.send(post);
  if (response && response->status == 200) {
    record.streams.push_back(std::move(stream));
  } else {
    ++record.failed;
    record.failure = response ? std::to_string(response->status) + " " + stream : httplib::to_string(response.error());
  }
}

/// Counts the streams that are complete.
void read_streams(Record& record) {
  for (const std::string& stream : record.streams) {
    bool done = false;
    const std::vector<Json> events = testing::events_of(stream, done);
    const bool complete = done && events.size() > 1;
    ++(complete ? record.answers : record.failed);
    if (!complete) record.failure = stream;
  }
}

double seconds_of_run() {
  const char* text = std::getenv("BITLOOM_STRESS_SECONDS");
  return text != nullptr ? std::atof(text) : 3;
}

/// `count` clients ask for answers of `tokens` tokens, one after the other, as long as the run lasts.
void expect_all_served(const std::string& path, int count, int tokens) {
  DemoServer demo({}, {.sequences = count, .pages = 1024}, 1000, path);
  std::vector<Record> records(static_cast<size_t>(count));
  std::vector<std::thread> clients;
  const Clock::time_point end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_of_run()));
  for (int c = 0; c < count; ++c) {
    clients.emplace_back([&, c] {
      httplib::Client client("127.0.0.1", demo.server.port());
      client.set_read_timeout(60);
      client.set_keep_alive(true);
      client.set_tcp_nodelay(true);
      for (int i = 0; i == 0 || Clock::now() < end; ++i)
        stream_one(client,
                   {{"prompt", "Once upon a time there was a number " + std::to_string(c * 1000 + i)},
                    {"max_tokens", tokens},
                    {"stream", true}},
                   records[static_cast<size_t>(c)]);
    });
  }
  for (std::thread& client : clients) client.join();
  for (Record& record : records) read_streams(record);
  std::vector<double> gaps, slowest;
  int answers = 0;
  for (const Record& record : records) {
    EXPECT_EQ(record.failed, 0) << record.failure;
    EXPECT_GT(record.answers, 0);
    answers += record.answers;
    gaps.insert(gaps.end(), record.gaps.begin(), record.gaps.end());
    slowest.push_back(*std::max_element(record.gaps.begin(), record.gaps.end()));
  }
  std::sort(gaps.begin(), gaps.end());
  std::sort(slowest.begin(), slowest.end());
  const double median = gaps[gaps.size() / 2];
  demo.engine.close(60);  // counts are taken between passes, and a client may have its last piece before
  const BatchCounts counts = demo.engine.counts();
  std::printf(
      "%d answers, %ld tokens; gaps: median %.1f ms, 99 %% %.1f ms, 99.9 %% %.1f ms; slowest of a client: median %.1f "
      "ms, most "
      "%.1f ms\n",
      answers, static_cast<long>(counts.tokens), median * 1e3, gaps[gaps.size() * 99 / 100] * 1e3,
      gaps[gaps.size() * 999 / 1000] * 1e3, slowest[slowest.size() / 2] * 1e3, slowest.back() * 1e3);
  EXPECT_EQ(counts.requests, answers);
  EXPECT_EQ(counts.running + counts.waiting + counts.pages_held, 0);
  // A share of the machine that others use decides the slowest gap of all: here a bound that only a client who is left
  // out would reach.
  EXPECT_LT(slowest.back(), std::max(1.0, 50 * median));
}

TEST(Stress, NothingIsLostAndNobodyWaits) { expect_all_served("assets/demo", 64, 60); }

TEST(Stress, NothingIsLostWithARealModel) {
  BITLOOM_REQUIRE_SMOLLM2();
  expect_all_served(testing::smollm2_path(), 16, 30);
}

}  // namespace
}  // namespace bitloom
