#pragma once
// HTTP over an engine: OpenAI's /v1/completions, /v1/chat/completions and /v1/models, /health, /metrics (Prometheus)
// and a page to chat at /. docs/serving.md says what requests may hold.
//
// Goals: what one client does (slow, gone, broken, hostile) costs no other: a thread of its own, times and sizes that
// are bounded, errors in the API's form. Non-goals: TLS, users, quotas: a proxy does these.

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/batch/engine.h"
#include "serve/served_model.h"

namespace bitloom {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;           // 0: any that is free
  std::string api_key = {};  // "": none is asked for
  int64_t body_bytes = int64_t{4} << 20;
  double seconds = 600;     // of an answer, waiting included
  int64_t io_seconds = 10;  // in which a client must send or take something
  int64_t connections = 256;
  uint64_t seed = 0;  // of requests that name none: they are numbered from here on
};

class Server {
 public:
  /// Listens. Error(kFailed) naming host and port where that is not possible. Model and engine must outlive it.
  Server(const ServedModel& model, Engine& engine, const ServerOptions& options);
  ~Server();

  int port() const;
  /// Refuses what comes from now on (503), gives what runs `seconds` to end, ends the rest, whose streams close as if
  /// the answer were complete; then stops listening.
  void close(double seconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitloom
