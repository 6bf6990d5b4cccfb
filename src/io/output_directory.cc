#include "io/output_directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "io/mapped_file.h"
#include "io/output_file.h"

namespace bitloom {
namespace fs = std::filesystem;
namespace {

std::string errno_text() { return std::generic_category().message(errno); }

/// Present in any form, a dangling link included.
bool is_taken(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

/// --force must not be able to remove the ground under one's feet: "/", ".", "..".
void check_replaceable(const std::string& path) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(fs::absolute(path, error), error);
  const fs::path here = fs::current_path(error);
  const fs::path relative = here.lexically_relative(target);
  const bool holds_here = !relative.empty() && *relative.begin() != "..";
  if (path.empty() || holds_here) misuse("output '{}' is or holds the working directory; name a new directory", path);
}

void discard(const std::string& path, const char* what) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot remove {}: {}", path, what, error.message());
}

void rename_or_fail(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail(ErrorKind::kFailed, "{}: cannot rename to {}: {}", from, to, errno_text());
  }
}

/// Makes a directory's entries durable; not every file system can, and then nothing is lost but time.
void sync_entries(const fs::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

/// `fresh` takes the name `path`, whose former content ends up under the returned name.
std::string put_in_place(const std::string& fresh, const std::string& path) {
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) return fresh;
  // File systems without an atomic exchange: two renames, the first undone when the second fails.
  const std::string old = path + ".old";
  if (is_taken(old)) discard(old, "an earlier leftover");
  rename_or_fail(path, old);
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const std::string reason = errno_text();
    rename_or_fail(old, path);
    fail(ErrorKind::kFailed, "{}: cannot rename to {}: {}", fresh, path, reason);
  }
  return old;
}

}  // namespace

void check_output(const std::string& path, bool force) {
  check_replaceable(path);
  if (!force && is_taken(path)) misuse("output '{}' exists; --force replaces it", path);
}

OutputDirectory::OutputDirectory(std::string path, bool force, int64_t needs) : path_(std::move(path)), force_(force) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  check_output(path_, force);
  staging_ = path_ + ".partial";
  if (is_taken(staging_)) discard(staging_, "an earlier unfinished output");
  const int64_t free_bytes = free_disk_bytes(path_);
  if (free_bytes < needs) {
    fail(ErrorKind::kFailed, "{}: not enough free disk space: needs {}, has {}", path_, human_bytes(needs),
         human_bytes(free_bytes));
  }
  std::error_code error;
  fs::create_directories(staging_, error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot create directory: {}", staging_, error.message());
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(staging_, ignored);
}

void OutputDirectory::write_text(const std::string& file, const std::string& text) const {
  OutputFile out(staging_ + "/" + file);
  out.write_at(0, text);
  out.finish();
}

void OutputDirectory::copy_file(const std::string& from, const std::string& file) const {
  const std::shared_ptr<const MappedFile> source = MappedFile::open(from);
  OutputFile out(staging_ + "/" + file);
  out.write_at(0, source->bytes());
  out.finish();
}

void OutputDirectory::commit() {
  sync_entries(staging_);
  if (!is_taken(path_)) {
    rename_or_fail(staging_, path_);
    committed_ = true;
  } else {
    if (!force_) fail(ErrorKind::kFailed, "{}: appeared while the output was being made", path_);
    const std::string old = put_in_place(staging_, path_);
    committed_ = true;
    discard(old, "the replaced output");
  }
  std::error_code error;
  sync_entries(fs::absolute(path_, error).parent_path());
}

int64_t free_disk_bytes(const std::string& path) {
  std::error_code error;
  fs::path place = fs::absolute(path, error);
  while (!fs::exists(place, error) && place.has_relative_path()) place = place.parent_path();
  struct statvfs status {};
  if (::statvfs(place.c_str(), &status) != 0) {
    fail(ErrorKind::kFailed, "{}: cannot read free disk space: {}", place.string(), errno_text());
  }
  // Some network file systems claim more than 2^63 bytes.
  int64_t bytes = 0;
  if (__builtin_mul_overflow(status.f_bavail, status.f_frsize, &bytes)) return std::numeric_limits<int64_t>::max();
  return bytes;
}

}  // namespace bitloom
