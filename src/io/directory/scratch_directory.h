#pragma once
// A directory for files that only this process needs.

#include <string>

namespace bitloom {

class ScratchDirectory {
 public:
  /// A new one inside `parent`. Error(kFailed) with path and reason.
  explicit ScratchDirectory(const std::string& parent);
  /// Removes it with all it holds.
  ~ScratchDirectory();
  ScratchDirectory(ScratchDirectory&& other) noexcept;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;  // empty: moved from
};

/// Removes those that processes which were killed have left in `parent`. For whoever holds `parent` alone.
void remove_scratch_directories(const std::string& parent);

}  // namespace bitloom
