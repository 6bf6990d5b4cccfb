#pragma once
// A read-only memory-mapped file. Only pages that are touched are read.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace bitloom {

class MappedFile {
 public:
  /// Error(kRefused) naming the path when it is absent, unreadable or no regular file. An empty file maps to no bytes.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Tells the kernel that these bytes are not needed again soon, so that they leave resident memory.
  void release(std::span<const std::byte> range) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace bitloom
