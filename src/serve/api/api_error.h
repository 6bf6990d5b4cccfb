#pragma once
// What a client is told when it does not get what it asked for, in the form of OpenAI's API.

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "io/json.h"

namespace bitloom {

struct ApiError : std::runtime_error {
  ApiError(int http_status, const std::string& message, std::string of_parameter = "", std::string of_code = "")
      : std::runtime_error(message),
        status(http_status),
        parameter(std::move(of_parameter)),
        code(std::move(of_code)) {}
  int status;
  std::string parameter, code;  // "": null
};

/// {"error": {"message", "type", "param", "code"}}; the type follows from the status.
Json error_json(const ApiError& error);

/// throw ApiError(400, ...) for a parameter of a request.
template <typename... Args>
[[noreturn]] void refuse_parameter(const std::string& parameter, fmt::format_string<Args...> format, Args&&... args) {
  throw ApiError(400, parameter + ": " + fmt::format(format, std::forward<Args>(args)...), parameter);
}

}  // namespace bitloom
