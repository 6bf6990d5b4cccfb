#pragma once
// The one exception type of bitloom.
//
// Goals: every message says what was wrong in terms the user can act on: the file, the tensor or key, the offending
// value and the allowed ones. The kind decides the exit code of the program.
// Non-goals: recovery. A numerical fallback (a raised damping, a clipped scale) is a field of a result, never an Error.
//
// Policy by layer: parsers, loaders, ops and recipes throw Error; kernels assert; the library never prints or aborts.

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace bitloom {

enum class ErrorKind {
  kFailed = 1,      // something went wrong while working: disk full, unwritable output
  kUsage = 2,       // the command line or a recipe asks for something that does not exist
  kRefused = 3,     // an input file is broken, unsupported or inconsistent
  kUnverified = 4,  // a result does not verify
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// throw Error(kind, formatted message).
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

/// The input cannot be accepted. Start the message with the file's path where there is one.
template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kRefused, fmt::format(format, std::forward<Args>(args)...));
}

/// The request makes no sense; name the allowed values.
template <typename... Args>
[[noreturn]] void misuse(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kUsage, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace bitloom
