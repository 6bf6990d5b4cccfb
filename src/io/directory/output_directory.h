#pragma once
// A result directory that appears complete or not at all: it is filled under a temporary name beside its final one and
// renamed at the end.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace bitloom {

class OutputDirectory {
 public:
  /// Creates PATH.partial, with PATH's parents, and holds PATH.partial.lock until it is gone. What an interrupted run
  /// left there is discarded. Error(kUsage) when PATH exists and `force` is false, when PATH is, or holds, the working
  /// directory, when another run holds the lock, or when PATH.partial stands there without a lock, so is not ours;
  /// Error(kFailed) naming path and reason when it cannot be made, or when the file system has less than `needs` bytes
  /// free (both figures in the message). PATH itself is untouched until commit().
  OutputDirectory(const std::string& path, bool force, int64_t needs);
  /// Removes the temporary directory unless committed.
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  /// Where to write.
  const std::string& staging() const { return staging_; }
  void write_text(const std::string& file, const std::string& text) const;
  void copy_file(const std::string& from, const std::string& file) const;
  /// Replaces PATH by the finished directory (an old one is removed only after the new one is in place). Error(kFailed)
  /// when PATH has appeared since, unless forced.
  void commit();

 private:
  struct Lock;

  std::string path_, staging_;
  std::unique_ptr<Lock> lock_;
  bool force_ = false;
  bool committed_ = false;
};

/// "out" of "out/", "./out/." and "a/../out": what other names are made of.
std::string plain_output_path(const std::string& path);

/// What the constructor refuses to do, for those who have long work before it: Error(kUsage) when PATH exists and
/// `force` is false, or when it is, or holds, the working directory.
void check_output(const std::string& path, bool force);

/// Error(kUsage) when making PATH would remove one of `inputs`: one that is, or lies in, PATH or a name that it has on
/// the way.
void check_spares(const std::string& path, std::span<const std::string> inputs);

/// Free bytes on the file system that holds `path` or its nearest existing parent.
int64_t free_disk_bytes(const std::string& path);

}  // namespace bitloom
