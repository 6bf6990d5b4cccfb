#include "io/directory/output_directory.h"

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
#include "base/text/text.h"
#include "io/directory/file_lock.h"
#include "io/directory/output_file.h"
#include "io/mapped_file.h"

namespace bitloom {
namespace fs = std::filesystem;
namespace {

std::string errno_text() { return std::generic_category().message(errno); }

/// Present in any form, a dangling link included.
bool is_taken(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

/// Whether `path` is `place` or lies in it, links followed.
bool lies_in(const fs::path& path, const fs::path& place) {
  std::error_code error;
  const auto resolved = [&](const fs::path& p) { return fs::weakly_canonical(fs::absolute(p, error), error); };
  const fs::path relative = resolved(path).lexically_relative(resolved(place));
  return !relative.empty() && *relative.begin() != "..";
}

/// --force must not be able to remove the ground under one's feet: "/", ".", "..".
void check_replaceable(const std::string& path) {
  std::error_code error;
  if (path.empty() || lies_in(fs::current_path(error), path))
    misuse("output '{}' is or holds the working directory; name a new directory", path);
}

std::string staging_for(const std::string& path) { return path + ".partial"; }

/// Of the files that a directory holds, itself and below.
int64_t bytes_in(const std::string& directory) {
  std::error_code error;
  int64_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory, error)) {
    const auto size = entry.is_regular_file(error) ? entry.file_size(error) : 0;
    if (!error) total += static_cast<int64_t>(size);
  }
  return total;
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
  std::string old = path + ".old";
  while (is_taken(old)) old += "er";
  rename_or_fail(path, old);
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const std::string reason = errno_text();
    rename_or_fail(old, path);
    fail(ErrorKind::kFailed, "{}: cannot rename to {}: {}", fresh, path, reason);
  }
  return old;
}

/// What a link to a directory leads to: that is replaced, and the link stays.
std::string behind_link(const std::string& path) {
  std::error_code error;
  return fs::is_symlink(path, error) && fs::is_directory(path, error) ? fs::canonical(path).string() : path;
}

}  // namespace

std::string plain_output_path(const std::string& path) {
  fs::path plain = fs::path(path).lexically_normal();
  if (!plain.has_filename() && plain.has_relative_path()) plain = plain.parent_path();
  return plain.string();
}

void check_output(const std::string& path, bool force) {
  check_replaceable(path);
  if (!force && is_taken(path)) misuse("output '{}' exists; --force replaces it", path);
}

void check_spares(const std::string& path, std::span<const std::string> inputs) {
  const std::string out = plain_output_path(path);
  for (const std::string& input : inputs) {
    if (lies_in(input, out) || lies_in(input, staging_for(out)))
      misuse("output '{}' would remove '{}', which this run uses; name another directory", path, input);
  }
}

/// The file is there as long as the staging directory, after a crash too, and removed behind it.
struct OutputDirectory::Lock {
  explicit Lock(const std::string& staging) : path(staging + ".lock"), was_there(is_taken(path)), file(path) {}
  ~Lock() {
    if (file.held()) ::unlink(path.c_str());
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  std::string path;
  bool was_there;
  FileLock file;
};

OutputDirectory::OutputDirectory(const std::string& path, bool force, int64_t needs)
    : path_(force ? behind_link(plain_output_path(path)) : plain_output_path(path)),
      staging_(staging_for(path_)),
      force_(force) {
  check_output(path_, force);
  const int64_t free_bytes = free_disk_bytes(path_);
  if (free_bytes < needs - bytes_in(staging_)) {
    fail(ErrorKind::kFailed, "{}: not enough free disk space: needs {}, has {}", path_, human_bytes(needs),
         human_bytes(free_bytes));
  }
  std::error_code error;
  fs::create_directories(fs::absolute(path_).parent_path(), error);
  if (error) fail(ErrorKind::kFailed, "{}: cannot create directory: {}", staging_, error.message());
  lock_ = std::make_unique<Lock>(staging_);
  if (!lock_->file.held()) misuse("output '{}' is being made by another run, which holds {}", path_, lock_->path);
  if (is_taken(staging_)) {
    if (!lock_->was_there) misuse("{}: exists and is no unfinished output; move it away", staging_);
    discard(staging_, "an earlier unfinished output");
  }
  fs::create_directory(staging_, error);
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
