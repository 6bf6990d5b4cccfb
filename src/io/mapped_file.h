#pragma once
// A read-only memory-mapped file. Only pages that are touched are read.
//
// io/ as a whole. Goals: foreign bytes in (safetensors, torch, GGUF, JSON, texts), our bytes out (safetensors,
// directories that appear complete or not at all). Every figure of a header is checked against the file before it is
// used; errors name the file, the tensor or key, and the value. Nothing is copied that can be viewed. Non-goals: what
// the tensors mean (model/), tokenizers' files (tokenize/), writing foreign formats (export/), files that shrink while
// they are mapped (the kernel ends the process with SIGBUS).

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

  /// Tells the kernel that these bytes are not needed again soon, so that they leave resident memory. They stay
  /// readable. Bytes outside the mapping are ignored.
  void release(std::span<const std::byte> range) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace bitloom
