#include "io/directory/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace bitloom {
namespace {

/// A holder that is done removes the file: who waited for it then has a lock on nothing.
bool is_still_there(const std::string& path, int file) {
  struct stat named {
  }, opened{};
  if (::stat(path.c_str(), &named) != 0 || ::fstat(file, &opened) != 0) return false;
  return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

FileLock::FileLock(const std::string& path) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) fail(ErrorKind::kFailed, "{}: cannot create: {}", path, std::generic_category().message(errno));
  held_ = ::flock(file_, LOCK_EX | LOCK_NB) == 0 && is_still_there(path, file_);
}

FileLock::~FileLock() { ::close(file_); }

}  // namespace bitloom
