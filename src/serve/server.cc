#include "serve/server.h"

#include <httplib.h>

#include <csignal>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "serve/api/answer.h"
#include "serve/api/api_error.h"
#include "serve/api/api_request.h"
#include "serve/api/body.h"
#include "serve/chat_page.h"
#include "serve/client_socket.h"
#include "serve/connection_threads.h"
#include "serve/delivery.h"
#include "serve/metrics.h"

namespace bitloom {
namespace {

using httplib::ContentReader;
using httplib::DataSink;
using httplib::Request;
using httplib::Response;

/// Connections that the system keeps until a thread takes them.
constexpr int kBacklog = 512;

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// Takes the same time wherever the texts differ.
bool same_secret(const std::string& given, const std::string& secret) {
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < secret.size(); ++i)
    difference |= static_cast<unsigned char>(secret[i]) ^ static_cast<unsigned char>(i < given.size() ? given[i] : 0);
  return difference == 0;
}

/// What the library itself answers: no such path, what is no HTTP.
ApiError library_error(const Request& request, int status) {
  if (status == 404) return {404, fmt::format("no such resource: {} {}", request.method, request.path.substr(0, 80))};
  return {status, fmt::format("the request cannot be read (status {})", status)};
}

}  // namespace

struct Server::State {
  State(const ServedModel& of, Engine& by, const ServerOptions& how) : model(of), engine(by), options(how) {}

  void set_limits();
  void set_routes();
  void set_posts();
  void start();
  void listen();
  void answer(ApiKind kind, const Request& request, const std::string& body, Response& response);
  void check_key(const Request& request) const;
  Json models() const;

  const ServedModel& model;
  Engine& engine;
  ServerOptions options;
  httplib::Server http;
  Metrics metrics;
  std::atomic<bool> closing = false;
  std::atomic<int64_t> open = 0;     // answers on their way
  std::atomic<uint64_t> number = 0;  // of requests
  int port = 0;
  socket_t listener = INVALID_SOCKET;
  std::unique_ptr<ConnectionThreads> threads;  // until the library has them
  std::atomic<bool> ended = false;             // the thread has nothing more to do
  std::thread thread;
};

void Server::State::set_limits() {
  http.new_task_queue = [this] { return threads.release(); };
  http.set_payload_max_length(static_cast<size_t>(options.body_bytes));
  http.set_read_timeout(options.io_seconds);
  http.set_write_timeout(options.io_seconds);
  http.set_keep_alive_timeout(options.io_seconds);
  http.set_keep_alive_max_count(1000);
  http.set_tcp_nodelay(true);
  // Not SO_REUSEPORT, the library's choice: a second server on the port must fail, not share its clients.
  http.set_socket_options([this](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listener = socket;
  });
  http.set_logger([this](const Request&, const Response& response) { metrics.count(response.status); });
  http.set_error_handler([this](const Request& request, Response& response) {
    if (response.body.empty() && !is_refused(response)) send_error(response, library_error(request, response.status));
  });
  http.set_exception_handler([](const Request&, Response& response, std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const ApiError& error) {
      send_error(response, error);
    } catch (const Error& error) {
      const bool theirs = error.kind() == ErrorKind::kUsage || error.kind() == ErrorKind::kRefused;
      send_error(response, ApiError(theirs ? 400 : 500, error.what()));
    } catch (const std::exception& error) {
      send_error(response, ApiError(500, error.what()));
    }
  });
}

void Server::State::check_key(const Request& request) const {
  if (options.api_key.empty() || request.path == "/" || request.path == "/health") return;
  const std::string given = request.get_header_value("Authorization");
  if (!same_secret(given, "Bearer " + options.api_key))
    throw ApiError(401, "a valid API key is needed: Authorization: Bearer KEY", "", "invalid_api_key");
}

Json Server::State::models() const {
  return {{"id", model.name}, {"object", "model"}, {"created", model.created}, {"owned_by", "bitloom"}};
}

void Server::State::set_routes() {
  using Handler = std::function<void(const Request&, Response&)>;
  const auto guarded = [this](Handler handler) -> httplib::Server::Handler {
    return [this, handler = std::move(handler)](const Request& request, Response& response) {
      check_key(request);
      handler(request, response);
    };
  };
  http.Get("/", [](const Request&, Response& response) {
    response.set_header(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:");
    response.set_content(chat_page(), "text/html; charset=utf-8");
  });
  http.Get("/health", [this](const Request&, Response& response) {
    response.status = closing ? 503 : 200;
    response.set_content(closing ? R"({"status":"closing"})" : R"({"status":"ok"})", "application/json");
  });
  http.Get("/metrics", guarded([this](const Request&, Response& response) {
             response.set_content(metrics.text(engine.counts()), "text/plain; version=0.0.4");
           }));
  http.Get("/v1/models", guarded([this](const Request&, Response& response) {
             response.set_content(dump({{"object", "list"}, {"data", Json::array({models()})}}), "application/json");
           }));
  http.Get(R"(/v1/models/(.+))", guarded([this](const Request& request, Response& response) {
             if (request.matches[1] != model.name) throw ApiError(404, "no such model", "model", "model_not_found");
             response.set_content(dump(models()), "application/json");
           }));
}

/// Nothing of a body is read before the key is known to be right, and never more than is allowed.
void Server::State::set_posts() {
  const auto reading = [this](std::function<void(const Request&, const std::string& body, Response&)> handler) {
    return
        [this, handler = std::move(handler)](const Request& request, Response& response, const ContentReader& reader) {
          std::string body;
          try {
            check_key(request);
            if (!handler) throw library_error(request, 404);
            body = read_body(request, reader, options.body_bytes);
          } catch (const ApiError& error) {
            return refuse_body(request, response, reader, error, options.body_bytes);
          }
          handler(request, body, response);
        };
  };
  const auto answering = [&](ApiKind kind) {
    return reading([this, kind](const Request& request, const std::string& body, Response& response) {
      answer(kind, request, body, response);
    });
  };
  http.Post("/v1/completions", answering(ApiKind::kCompletion));
  http.Post("/v1/chat/completions", answering(ApiKind::kChat));
  // Else the library reads the whole body before it finds that there is no such path.
  const auto nothing = reading(nullptr);
  http.Post(".*", nothing).Put(".*", nothing).Patch(".*", nothing).Delete(".*", nothing);
  http.set_pre_routing_handler([](const Request& request, Response& response) {
    if (request.method != "PRI") return httplib::Server::HandlerResponse::Unhandled;
    send_error(response, ApiError(400, "HTTP/2 is not spoken here"));
    return httplib::Server::HandlerResponse::Handled;
  });
}

void Server::State::answer(ApiKind kind, const Request& request, const std::string& body, Response& response) {
  if (closing) throw ApiError(503, "the server is closing");
  ApiRequest asked = parse_api_request(kind, parse_json(body, "the body"), model);
  const uint64_t at = number++;
  auto [admission, answer] =
      Answer::ask(engine, text_requests(asked, model, options.seed + at, engine.cache_tokens()), options.seconds);
  if (admission == Admission::kFull) throw ApiError(429, "the queue is full: try again later");
  if (admission == Admission::kClosing) throw ApiError(503, "the server is closing");
  const bool stream = asked.stream;
  const auto delivery = std::make_shared<Delivery>(std::move(answer), std::move(asked), model,
                                                   fmt::format("{:x}-{}", model.created, at), open);
  if (stream) {
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider("text/event-stream",
                                          [delivery](size_t, DataSink& sink) { return delivery->stream(sink); });
    return;
  }
  // Collected before anything is sent: the status must be known. The provider keeps the delivery open until it is sent.
  const int socket = client_socket(request);
  const std::string text = delivery->whole([socket] { return is_connected(socket); });
  response.set_content_provider(text.size(), "application/json",
                                [delivery, text](size_t offset, size_t length, DataSink& sink) {
                                  return sink.write(text.data() + offset, length);
                                });
}

Server::Server(const ServedModel& model, Engine& engine, const ServerOptions& options)
    : state_(std::make_unique<State>(model, engine, options)) {
  state_->set_limits();
  state_->set_routes();
  state_->set_posts();
  httplib::Server& http = state_->http;
  if (options.port == 0) {
    state_->port = http.bind_to_any_port(options.host);
  } else {
    state_->port = http.bind_to_port(options.host, options.port) ? options.port : -1;
  }
  if (state_->port < 0)
    fail(ErrorKind::kFailed, "cannot listen on {}:{}: taken, or no address of this machine", options.host,
         options.port);
  // The library's queue of five loses clients that come at once.
  ::listen(state_->listener, kBacklog);
  state_->start();
}

/// Threads that cannot be made are found here, not where the library would end the process.
void Server::State::start() {
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string failure;
  try {
    threads = std::make_unique<ConnectionThreads>(options.connections);
    thread = std::thread([this] { listen(); });
  } catch (const std::system_error& error) {
    failure = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!failure.empty()) fail(ErrorKind::kFailed, "no thread can be made for connections: {}", failure);
  while (!http.is_running() && !ended) std::this_thread::yield();
  if (!ended) return;
  thread.join();
  fail(ErrorKind::kFailed, "the server at {}:{} does not run", options.host, port);
}

void Server::State::listen() {
  try {
    http.listen_after_bind();
  } catch (const std::exception&) {
    // Told by start(), or by the connections that end.
  }
  ended = true;
}

Server::~Server() { close(0); }

int Server::port() const { return state_->port; }

void Server::close(double seconds) {
  if (!state_->thread.joinable()) return;
  state_->closing = true;
  state_->engine.close(seconds);
  // All answers are complete; their clients have the time that any client has to take them.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(state_->options.io_seconds);
  while (state_->open > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  state_->http.stop();
  state_->thread.join();
}

}  // namespace bitloom
