#include "io/directory/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace bitloom {

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno("cannot create");
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::fail_errno(const char* action) const {
  fail(ErrorKind::kFailed, "{}: {}: {}", path_, action, std::generic_category().message(errno));
}

void OutputFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  constexpr size_t kMost = size_t{1} << 30;  // Linux writes at most 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), std::min(bytes.size(), kMost), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_errno("cannot write");
    if (written == 0) fail(ErrorKind::kFailed, "{}: cannot write: the device takes no more bytes", path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
}

void OutputFile::finish() {
  // Pipes and some network file systems have no fsync; they say so with EINVAL or EROFS.
  if (::fsync(fd_) != 0 && errno != EINVAL && errno != EROFS) fail_errno("cannot write");
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) fail_errno("cannot close");
}

void replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + kReplacementSuffix;
  OutputFile file(fresh);
  file.write_at(0, text);
  file.finish();
  if (::rename(fresh.c_str(), path.c_str()) != 0)
    fail(ErrorKind::kFailed, "{}: cannot rename to {}: {}", fresh, path, std::generic_category().message(errno));
}

}  // namespace bitloom
