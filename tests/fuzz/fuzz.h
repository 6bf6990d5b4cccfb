#pragma once
// What the targets of this folder share. A target is one source with LLVMFuzzerTestOneInput: it hands the bytes to one
// reader of foreign files and uses what it gives. driver.cc, or libFuzzer, makes the bytes.
//
// A fault is a crash, an exception that is no Error, an Error of another kind than the reader announces or one that
// does not begin with where the bytes are from, or (driver.cc) memory beyond a multiple of the bytes or time beyond a
// limit.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace bitloom::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// How many inputs a reader has accepted, for the driver.
inline uint64_t accepted = 0;

/// Bytes of memory that a reader may take whatever the input's size; a target that needs more says so.
inline int64_t most_fixed = int64_t{256} << 10;

/// Runs `read`, which accepts the input or throws Error(kind) whose message begins with `origin`.
template <typename Read>
int accept_or_refuse(ErrorKind kind, std::string_view origin, const Read& read) {
  try {
    read();
    ++accepted;
  } catch (const Error& error) {
    if (error.kind() != kind) throw std::logic_error(fmt::format("exit code {}: {}", error.exit_code(), error.what()));
    if (!std::string_view(error.what()).starts_with(origin)) {
      throw std::logic_error(fmt::format("an error that does not name '{}': {}", origin, error.what()));
    }
  }
  return 0;
}

/// A file in memory with a path, for readers that map files.
class MemoryFile {
 public:
  MemoryFile() : file_(::memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(file_)) {
    if (file_ < 0) std::abort();
  }
  ~MemoryFile() { ::close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }
  void write(std::string_view bytes) {
    if (::ftruncate(file_, 0) != 0) std::abort();
    if (::pwrite(file_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  }

 private:
  int file_;
  std::string path_;
};

}  // namespace bitloom::fuzz
