#pragma once
// A server of the demo model, or of another, in this process, for tests.

#include <httplib.h>

#include <memory>
#include <string>

#include "model/checkpoint/checkpoint.h"
#include "serve/server.h"

namespace bitloom::testing {

inline ServedModel served(const Checkpoint& checkpoint) {
  return {
      .name = "demo",
      .tokenizer = checkpoint.tokenizer(),
      .chat_template = ChatTemplate("{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
                                    "{% if add_generation_prompt %}assistant:{% endif %}",
                                    "test", {{"bos_token", "<|begin_of_text|>"}}),
      .context = checkpoint.graph().max_positions,
      .created = 1700000000,
      .sampler = {.temperature = 0},
      .max_tokens = 200};
}

struct DemoServer {
  explicit DemoServer(ServerOptions options = {}, const BatchLimits& limits = {}, int64_t queue = 100,
                      const std::string& path = "assets/demo")
      : checkpoint(Checkpoint::open(path)),
        engine(decoder, checkpoint->tokenizer(), pool, limits, queue),
        server(model, engine, with_free_port(options)) {}

  static ServerOptions with_free_port(ServerOptions options) {
    options.port = 0;
    return options;
  }
  httplib::Client client() const {
    httplib::Client client("127.0.0.1", server.port());
    client.set_read_timeout(60);
    return client;
  }
  Json post(const std::string& path, const Json& body, int status = 200) const {
    return post_text(path, body.dump(), status);
  }
  Json post_text(const std::string& path, const std::string& body, int status) const {
    const auto response = client().Post(path, body, "application/json");
    if (!response) return {};
    const Json answer = Json::parse(response->body, nullptr, false);
    return response->status == status ? answer : Json{{"status", response->status}, {"answer", answer}};
  }

  ThreadPool pool{2};
  std::shared_ptr<const Checkpoint> checkpoint;
  ServedModel model = served(*checkpoint);
  Decoder decoder{checkpoint, pool};
  Engine engine;
  Server server;
};

/// The JSON of a stream's events; "[DONE]" is the last and left out.
inline std::vector<Json> events_of(const std::string& stream, bool& done) {
  std::vector<Json> events;
  done = false;
  for (size_t at = 0; at < stream.size();) {
    const size_t end = stream.find("\n\n", at);
    if (end == std::string::npos || stream.compare(at, 6, "data: ") != 0) return {};
    const std::string data = stream.substr(at + 6, end - at - 6);
    if (done) return {};
    done = data == "[DONE]";
    if (!done) events.push_back(Json::parse(data, nullptr, false));
    at = end + 2;
  }
  return events;
}

}  // namespace bitloom::testing
