#include "serve/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/test_data.h"
#include "runtime/generate.h"
#include "serve/test_server.h"

namespace bitloom {
namespace {

using testing::DemoServer;
using testing::events_of;
using ::testing::HasSubstr;

const Json kStory = {{"prompt", "Once upon a time"}, {"max_tokens", 20}};

std::string text_alone(DemoServer& demo, int64_t tokens) {
  ThreadPool pool(1);
  Decoder decoder(demo.checkpoint, pool);
  return generate(decoder, demo.checkpoint->tokenizer(), "Once upon a time", {tokens, {.temperature = 0}}, {}).text;
}

TEST(Server, Completes) {
  DemoServer demo;
  const Json answer = demo.post("/v1/completions", kStory);
  EXPECT_EQ(answer.at("object"), "text_completion");
  EXPECT_EQ(answer.at("model"), "demo");
  ASSERT_EQ(answer.at("choices").size(), 1u);
  const Json& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"), text_alone(demo, 20));
  EXPECT_EQ(choice.at("finish_reason"), "length");
  EXPECT_EQ(choice.at("logprobs"), nullptr);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 20);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), demo.checkpoint->tokenizer().encode("Once upon a time").size());
}

TEST(Server, StreamsTheSame) {
  DemoServer demo;
  Json request = kStory;
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  const auto response = demo.client().Post("/v1/completions", request.dump(), "application/json");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->get_header_value("Content-Type"), "text/event-stream");
  bool done = false;
  const std::vector<Json> events = events_of(response->body, done);
  ASSERT_TRUE(done);
  ASSERT_GT(events.size(), 10u);
  std::string text;
  for (size_t i = 0; i + 2 < events.size(); ++i) text += events[i].at("choices").at(0).at("text");
  EXPECT_EQ(text, text_alone(demo, 20));
  EXPECT_EQ(events[events.size() - 2].at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(events.back().at("choices").size(), 0u);
  EXPECT_EQ(events.back().at("usage").at("completion_tokens"), 20);
}

TEST(Server, Chats) {
  DemoServer demo;
  Json request = {{"messages", {{{"role", "user"}, {"content", "Hello"}}}},
                  {"max_tokens", 8},
                  {"n", 2},
                  {"temperature", 1},
                  {"seed", 3}};
  const Json whole = demo.post("/v1/chat/completions", request);
  ASSERT_EQ(whole.at("choices").size(), 2u);
  EXPECT_EQ(whole.at("object"), "chat.completion");
  EXPECT_EQ(whole.at("choices").at(1).at("index"), 1);
  EXPECT_NE(whole.at("choices").at(0).at("message"), whole.at("choices").at(1).at("message")) << "seeds 3 and 4";
  EXPECT_EQ(whole.at("usage").at("completion_tokens"), 16);
  request["stream"] = true;
  const auto response = demo.client().Post("/v1/chat/completions", request.dump(), "application/json");
  bool done = false;
  const std::vector<Json> events = events_of(response->body, done);
  ASSERT_TRUE(done);
  std::string texts[2];
  int ends = 0;
  for (const Json& event : events) {
    EXPECT_EQ(event.at("object"), "chat.completion.chunk");
    const Json& choice = event.at("choices").at(0);
    if (choice.at("delta").contains("content"))
      texts[choice.at("index").get<size_t>()] += choice.at("delta").at("content");
    if (choice.at("finish_reason") != nullptr) ++ends;
  }
  EXPECT_EQ(ends, 2);
  EXPECT_EQ(events.at(0).at("choices").at(0).at("delta").at("role"), "assistant");
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(texts[i], whole.at("choices").at(i).at("message").at("content"));
}

TEST(Server, StopsAndLogprobs) {
  DemoServer demo;
  const std::string whole = text_alone(demo, 20), stop = whole.substr(12, 4);
  Json request = kStory;
  request["stop"] = Json::array({stop});
  request["logprobs"] = 2;
  const Json answer = demo.post("/v1/completions", request).at("choices").at(0);
  EXPECT_EQ(answer.at("text"), whole.substr(0, whole.find(stop)));
  EXPECT_EQ(answer.at("finish_reason"), "stop");
  const Json& logprobs = answer.at("logprobs");
  std::string tokens;
  for (size_t i = 0; i < logprobs.at("tokens").size(); ++i) {
    const std::string token = logprobs.at("tokens").at(i);
    EXPECT_EQ(logprobs.at("text_offset").at(i), tokens.size());
    tokens += token;
    ASSERT_EQ(logprobs.at("top_logprobs").at(i).size(), 2u);
    EXPECT_EQ(logprobs.at("top_logprobs").at(i).at(token), logprobs.at("token_logprobs").at(i))
        << "greedy: the likeliest";
    EXPECT_LE(logprobs.at("token_logprobs").at(i), 0);
  }
  EXPECT_TRUE(tokens.starts_with(answer.at("text").get<std::string>()));
  const Json chat = demo.post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "Hello"}}}},
                                                       {"max_tokens", 3},
                                                       {"logprobs", true},
                                                       {"top_logprobs", 4}});
  const Json& content = chat.at("choices").at(0).at("logprobs").at("content");
  ASSERT_EQ(content.size(), 3u);
  EXPECT_EQ(content.at(0).at("top_logprobs").size(), 4u);
  EXPECT_EQ(content.at(0).at("bytes").size(), content.at(0).at("token").get<std::string>().size());
}

TEST(Server, TellsOfItself) {
  DemoServer demo;
  demo.post("/v1/completions", kStory);
  auto client = demo.client();
  EXPECT_EQ(client.Get("/health")->status, 200);
  EXPECT_EQ(Json::parse(client.Get("/v1/models")->body).at("data").at(0).at("id"), "demo");
  EXPECT_EQ(client.Get("/v1/models/demo")->status, 200);
  EXPECT_EQ(client.Get("/v1/models/other")->status, 404);
  const std::string metrics = client.Get("/metrics")->body;
  EXPECT_THAT(metrics, HasSubstr("\nbitloom_generated_tokens_total 20\n"));
  EXPECT_THAT(metrics, HasSubstr("\nbitloom_answers_running 0\n"));
  EXPECT_THAT(metrics, HasSubstr("bitloom_http_responses_total{status=\"404\"} 1\n"));
  EXPECT_THAT(client.Get("/")->body, HasSubstr("<!DOCTYPE html>"));
}

TEST(Server, AsksForItsKey) {
  DemoServer demo({.api_key = "secret"});
  EXPECT_EQ(demo.post("/v1/completions", kStory, 401).at("error").at("code"), "invalid_api_key");
  auto client = demo.client();
  EXPECT_EQ(client.Get("/health")->status, 200);
  EXPECT_EQ(client.Get("/v1/models")->status, 401);
  EXPECT_EQ(client.Get("/metrics")->status, 401);
  for (const char* key : {"Bearer secre", "Bearer secrets", "secret", "Bearer secreT"})
    EXPECT_EQ(client.Get("/v1/models", {{"Authorization", key}})->status, 401) << key;
  EXPECT_EQ(client.Get("/v1/models", {{"Authorization", "Bearer secret"}})->status, 200);
}

void expect_refused(const Json& answer, const std::string& message) {
  ASSERT_TRUE(answer.contains("error")) << answer;
  EXPECT_THAT(answer.at("error").at("message").get<std::string>(), HasSubstr(message));
  EXPECT_TRUE(answer.at("error").contains("param") && answer.at("error").contains("code"));
}

TEST(Server, BadRequestsGetTheirErrors) {
  DemoServer demo({.body_bytes = 100000});
  expect_refused(demo.post_text("/v1/completions", "{\"prompt\": ", 400), "the body");
  expect_refused(demo.post_text("/v1/completions", "", 400), "the body");
  expect_refused(demo.post_text("/v1/completions", std::string(50000, '['), 400), "the body");
  expect_refused(demo.post_text("/v1/completions", "{\"prompt\": \"\xff\"}", 400), "the body");
  expect_refused(demo.post("/v1/completions", {{"prompt", 5}}, 400), "prompt: must be");
  expect_refused(demo.post("/v1/completions", {{"prompt", {999999}}}, 400), "token 999999");
  expect_refused(demo.post("/v1/chat/completions", {{"messages", "x"}}, 400), "messages: must be an array");
  expect_refused(demo.post("/v1/nothing", {}, 404), "no such resource: POST /v1/nothing");
  std::string text;
  for (int i = 0; i < 300; ++i) text += " the";
  expect_refused(demo.post("/v1/completions", {{"prompt", text}}, 400),
                 "the prompt has 301 tokens, the model's context is 256");
  expect_refused(demo.post_text("/v1/completions", "{\"prompt\": \"" + std::string(10 << 20, 'x') + "\"}", 413),
                 "larger than 100000 bytes");
  const auto response = demo.client().Post("/v1/completions", "prompt=x", "application/x-www-form-urlencoded");
  EXPECT_EQ(response->status, 415);
  expect_refused(Json::parse(response->body), "Content-Type must be application/json");
  EXPECT_EQ(demo.post("/v1/completions", kStory).at("usage").at("completion_tokens"), 20) << "still there";
}

/// A connection that is spoken to byte by byte.
class Raw {
 public:
  explicit Raw(int port, int receive_buffer = 0) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Raw() { hang_up(); }
  void hang_up() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void send(const std::string& text) const {
    EXPECT_EQ(::send(socket_, text.data(), text.size(), 0), ssize_t(text.size()));
  }
  /// What comes until `bytes` are there or the server closes.
  std::string receive(size_t bytes = SIZE_MAX) const {
    std::string all;
    char buffer[4096];
    while (all.size() < bytes) {
      const ssize_t count = recv(socket_, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      all.append(buffer, static_cast<size_t>(count));
    }
    return all;
  }
  static std::string request(const Json& body) {
    const std::string text = body.dump();
    return "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(text.size()) + "\r\n\r\n" + text;
  }

 private:
  int socket_;
};

template <typename Condition>
bool soon(const Condition& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string chunked(const std::string& path, const std::string& headers, const std::vector<std::string>& chunks) {
  std::string text = "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers +
                     "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string& chunk : chunks) text += fmt::format("{:x}\r\n{}\r\n", chunk.size(), chunk);
  return text;
}

TEST(Server, BodiesInChunksAreBounded) {
  DemoServer demo({.body_bytes = 1000, .io_seconds = 2});
  const Raw fits(demo.server.port());
  const std::string text = kStory.dump();
  fits.send(chunked("/v1/completions", "Connection: close\r\n", {text.substr(0, 5), text.substr(5), ""}));
  EXPECT_THAT(fits.receive(), HasSubstr("HTTP/1.1 200"));
  // No last chunk: the answer comes as soon as the limit is passed, and the connection ends.
  const std::vector<std::string> many(20, std::string(100, ' '));
  for (const char* path : {"/v1/completions", "/v1/nothing"}) {
    const Raw long_one(demo.server.port());
    long_one.send(chunked(path, "", many));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(long_one.receive(), HasSubstr(path == std::string("/v1/nothing") ? "HTTP/1.1 404" : "HTTP/1.1 413"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1)) << path;
  }
  const Raw broken(demo.server.port());
  broken.send(chunked("/v1/completions", "", {}) + "no length\r\n");
  EXPECT_THAT(broken.receive(), HasSubstr("HTTP/1.1 400"));
}

TEST(Server, CodedBodiesAreRefused) {
  DemoServer demo({.io_seconds = 2});
  const Raw client(demo.server.port());
  client.send(chunked("/v1/completions", "Content-Encoding: gzip\r\n", {std::string("\x1f\x8b\x08\0", 4)}));
  const std::string answer = client.receive();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 415"));
  EXPECT_THAT(answer, HasSubstr("Content-Encoding 'gzip' is not read"));
}

TEST(Server, ABodyWithoutTheKeyIsNotKept) {
  DemoServer demo({.api_key = "secret", .body_bytes = 1000, .io_seconds = 2});
  const std::string body = "{\"prompt\": \"" + std::string(10 << 20, 'x') + "\"}";
  EXPECT_EQ(demo.post_text("/v1/completions", body, 401).at("error").at("code"), "invalid_api_key");
  const Raw endless(demo.server.port());
  endless.send(chunked("/v1/completions", "", std::vector<std::string>(20, std::string(100, ' '))));
  EXPECT_THAT(endless.receive(), HasSubstr("HTTP/1.1 401"));
}

/// A request that runs for a while: the demo's 256 positions, some 64 answers at once.
Json long_request(bool stream) {
  return {{"prompt", "Once upon a time"},
          {"n", 32},
          {"stream", stream},
          {"seed", 3},
          {"temperature", 2},
          {"top_k", 0},
          {"top_p", 1},
          {"min_p", 0}};
}

TEST(Server, AClientThatIsGoneIsCancelled) {
  for (const bool stream : {true, false}) {
    DemoServer demo({}, {.sequences = 1});  // the answers come one after the other: seconds in all
    Raw client(demo.server.port());
    client.send(Raw::request(long_request(stream)));
    if (stream) client.receive(2000);
    ASSERT_TRUE(soon([&] { return demo.engine.counts().tokens > 5; }));
    client.hang_up();
    EXPECT_TRUE(soon([&] { return demo.engine.counts().running + demo.engine.counts().waiting == 0; })) << stream;
    EXPECT_LT(demo.engine.counts().tokens, 31 * 200) << "it did not just finish";
  }
}

TEST(Server, HalfOfARequestTimesOutAndCostsNobody) {
  DemoServer demo({.io_seconds = 1});
  const Raw silent(demo.server.port()), headless(demo.server.port()), half(demo.server.port());
  headless.send("POST /v1/completions HTTP/1.1\r\nContent-Le");
  half.send(
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
      "1000\r\n\r\n{\"prompt\":");
  EXPECT_EQ(demo.post("/v1/completions", kStory).at("usage").at("completion_tokens"), 20);
  const std::string answer = half.receive();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 408"));
  EXPECT_THAT(answer, HasSubstr("the body ended after"));
  silent.receive();  // the server closes
  headless.receive();
}

TEST(Server, WhatIsNoHttpIsRefused) {
  DemoServer demo({.io_seconds = 1});
  const Raw client(demo.server.port());
  client.send("hello\r\n\r\n");
  EXPECT_THAT(client.receive(), HasSubstr("HTTP/1.1 400"));
}

// One that takes nothing while much is sent: its buffers fill, its own thread waits, and after its time it is dropped.
TEST(Server, ASlowReaderIsDroppedAndCostsNobody) {
  DemoServer demo({.io_seconds = 1}, {}, 200);
  const Raw slow(demo.server.port(), 1);
  Json request = long_request(true);
  request["n"] = 60;
  request["logprobs"] = 5;  // many bytes a token
  slow.send(Raw::request(request));
  ASSERT_TRUE(soon([&] { return demo.engine.counts().tokens > 5; }));
  const Json other = demo.post("/v1/completions", kStory);
  EXPECT_EQ(other.at("usage").at("completion_tokens"), 20);
  EXPECT_TRUE(soon([&] { return demo.engine.counts().running == 0; }));
  EXPECT_EQ(demo.post("/v1/completions", kStory).at("choices"), other.at("choices"));
}

TEST(Server, AFullQueueIsTold) {
  DemoServer demo({}, {.sequences = 1}, 3);
  const Raw busy(demo.server.port());
  // Without a seed one of them may draw the text's end at once.
  busy.send(Raw::request(
      {{"prompt", "Once"}, {"n", 3}, {"seed", 3}, {"temperature", 2}, {"top_k", 0}, {"top_p", 1}, {"min_p", 0}}));
  ASSERT_TRUE(soon([&] { return demo.engine.counts().running == 1; }));
  const auto response = demo.client().Post("/v1/completions", R"({"prompt": "x", "n": 2})", "application/json");
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->get_header_value("Retry-After"), "1");
  expect_refused(Json::parse(response->body), "the queue is full");
}

TEST(Server, MoreAnswersThanEverFitAreRefusedForGood) {
  DemoServer demo({}, {.sequences = 2}, 1);
  expect_refused(demo.post("/v1/completions", {{"prompt", "x"}, {"n", 4}, {"max_tokens", 1}}, 400),
                 "4 answers at once");
  EXPECT_EQ(demo.post("/v1/completions", {{"prompt", "x"}, {"n", 3}, {"max_tokens", 1}}).at("choices").size(), 3u);
}

TEST(Server, AnAnswerOfNoStatedLengthFitsASmallCache) {
  DemoServer demo({}, {.sequences = 2, .pages = 2});
  const Json answer = demo.post("/v1/completions", {{"prompt", "Once upon a time"}});
  EXPECT_EQ(answer.at("usage").at("total_tokens"), 2 * kKvPageRows + 1);
  EXPECT_EQ(
      demo.post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}}).at("choices").size(),
      1u);
  expect_refused(demo.post("/v1/completions", {{"prompt", "Once"}, {"max_tokens", 100}}, 400), "tokens of cache");
  expect_refused(demo.post("/v1/completions", {{"prompt", std::vector<int>(65, 5)}}, 400),
                 "the prompt has 65 tokens, the cache holds 64");
}

TEST(Server, TheTimeOfAnAnswerIsLimited) {
  DemoServer demo({.seconds = 0.05}, {.sequences = 1});
  Json request = long_request(false);
  request["n"] = 20;
  const Json answer = demo.post("/v1/completions", request);
  EXPECT_EQ(answer.at("choices").size(), 20u);
  EXPECT_EQ(answer.at("choices").at(19).at("finish_reason"), "length");
  EXPECT_EQ(answer.at("choices").at(19).at("text"), "");
}

TEST(Server, ClosingEndsStreamsCleanly) {
  DemoServer demo({}, {}, 200);
  Json request = long_request(true);
  std::vector<std::thread> clients;
  std::atomic<int> complete = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      const auto response = demo.client().Post("/v1/completions", request.dump(), "application/json");
      bool done = false;
      if (!response || events_of(response->body, done).empty() || !done) return;
      ++complete;
    });
  }
  ASSERT_TRUE(soon([&] { return demo.engine.counts().requests == 4 * 32 && demo.engine.counts().tokens > 100; }));
  demo.server.close(0.05);
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(complete, 4);
  EXPECT_LT(demo.engine.counts().tokens, 4 * 32 * 190) << "they were cut";
  EXPECT_FALSE(demo.client().Get("/health"));
}

TEST(Server, AddressesThatCannotBeHad) {
  DemoServer demo;
  const auto message = testing::message_of(
      ErrorKind::kFailed, [&] { const Server second(demo.model, demo.engine, {.host = "192.0.2.1", .port = 1}); });
  EXPECT_THAT(message, HasSubstr("192.0.2.1:1"));
  const auto taken = testing::message_of(
      ErrorKind::kFailed, [&] { const Server second(demo.model, demo.engine, {.port = demo.server.port()}); });
  EXPECT_THAT(taken, HasSubstr("taken"));
}

}  // namespace
}  // namespace bitloom
