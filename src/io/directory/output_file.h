#pragma once
// A file being written. Every failure (no space, quota, limit, device) is an Error(kFailed) with path and reason.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bitloom {

class OutputFile {
 public:
  /// Creates or truncates.
  explicit OutputFile(std::string path);
  /// Closes without a check: a file that was not finished is of no use.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::string& path() const { return path_; }
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  void write_at(int64_t offset, std::string_view text) { write_at(offset, std::as_bytes(std::span(text))); }
  /// fsync and close: the last place where a full disk can show itself.
  void finish();

 private:
  [[noreturn]] void fail_errno(const char* action) const;
  std::string path_;
  int fd_ = -1;
};

/// The file at `path` holds `text` from now on: written under the name PATH.new, made durable, renamed.
void replace_file(const std::string& path, const std::string& text);
inline constexpr const char* kReplacementSuffix = ".new";

}  // namespace bitloom
