#pragma once
// A file that only one process works under at a time.

#include <string>

namespace bitloom {

class FileLock {
 public:
  /// Creates the file where it is not there and locks it (flock), until the destructor or the process's end, however it
  /// ends. Error(kFailed) with path and reason when it cannot be created; held() is false when somebody else holds it.
  explicit FileLock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  bool held() const { return held_; }

 private:
  int file_ = -1;
  bool held_ = false;
};

}  // namespace bitloom
