#include "serve/api/body.h"

namespace bitloom {
namespace {

using httplib::ContentReader;
using httplib::Request;
using httplib::Response;

/// Without these headers a request has no body (RFC 9112, section 6.3); the library would wait for one.
bool has_body(const Request& request) {
  return request.has_header("Content-Length") || request.has_header("Transfer-Encoding");
}

void check_form(const Request& request) {
  const std::string type = request.get_header_value("Content-Type");
  if (!type.starts_with("application/json"))
    throw ApiError(415, "Content-Type must be application/json, not '" + type.substr(0, 80) + "'");
  const std::string coding = request.get_header_value("Content-Encoding");
  if (!coding.empty() && coding != "identity")
    throw ApiError(415, "Content-Encoding '" + coding.substr(0, 80) + "' is not read: send the body as it is");
}

/// False when the body was cut off at `most` bytes, or is broken.
bool take(const Request& request, const ContentReader& reader, int64_t most, const httplib::ContentReceiver& receive) {
  if (!has_body(request)) return true;
  int64_t taken = 0;
  return reader([&](const char* data, size_t size) {
    taken += static_cast<int64_t>(size);
    return taken <= most && receive(data, size);
  });
}

}  // namespace

std::string read_body(const Request& request, const ContentReader& reader, int64_t most) {
  check_form(request);
  const ApiError too_large(413, fmt::format("the body is larger than {} bytes", most));
  const uint64_t promised = request.get_header_value<uint64_t>("Content-Length", 0);
  if (promised > static_cast<uint64_t>(most)) throw too_large;
  std::string body;
  bool fits = true;
  const bool whole = take(request, reader, INT64_MAX, [&](const char* data, size_t size) {
    fits = body.size() + size <= static_cast<size_t>(most);
    if (fits) body.append(data, size);
    return fits;
  });
  if (!fits) throw too_large;
  if (whole) return body;
  if (promised > body.size())
    throw ApiError(408, fmt::format("the body ended after {} of {} bytes", body.size(), promised));
  throw ApiError(400, fmt::format("the chunks of the body cannot be read after {} bytes", body.size()));
}

void refuse_body(const Request& request, Response& response, const ContentReader& reader, const ApiError& error,
                 int64_t most) {
  // What is broken has nothing left; forms, which the library reads otherwise, and codings are not looked into.
  const bool plain = !request.is_multipart_form_data() && !request.has_header("Content-Encoding");
  if (plain && error.status != 408 && error.status != 400)
    take(request, reader, most, [](const char*, size_t) { return true; });
  send_error(response, error);
  response.set_header("Connection", "close");
  const std::string text = std::exchange(response.body, "");
  // The library closes a connection whose content ends with a failure.
  response.content_length_ = text.size();
  response.content_provider_ = [text](size_t, size_t, httplib::DataSink& sink) {
    sink.write(text.data(), text.size());
    return false;
  };
}

void send_error(Response& response, const ApiError& error) {
  response.status = error.status;
  if (error.status == 429 || error.status == 503) response.set_header("Retry-After", "1");
  response.set_content(error_json(error).dump(-1, ' ', false, Json::error_handler_t::replace), "application/json");
}

bool is_refused(const Response& response) { return response.get_header_value("Connection") == "close"; }

}  // namespace bitloom
