#pragma once
// SHA-256 of files and directories, remembered between runs while size and time of change stay the same.

#include <cstdint>
#include <map>
#include <string>

#include "base/progress.h"

namespace bitloom {

class InputHashes {
 public:
  /// Remembers in `file`, a JSON document; one that is absent or cannot be read is begun anew.
  explicit InputHashes(std::string file);

  /// Of a file its bytes'; of a directory that of the names and hashes of all files in it.
  std::string of(const std::string& path, Progress& progress);
  /// Writes what was learnt, by rename.
  void save() const;

 private:
  struct Entry {
    int64_t bytes = 0, changed = 0;  // nanoseconds
    std::string sha256;
  };
  std::string of_file(const std::string& path, Progress& progress);

  std::string file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace bitloom
