#pragma once
// For io's tests only: GGUF files made byte by byte, so that every field can lie.

#include <cstdint>
#include <string>

#include "io/test_support.h"

namespace bitloom::testing {

class GgufBytes {
 public:
  GgufBytes(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    bytes_ = "GGUF";
    u32(version).u64(tensors).u64(keys);
  }
  GgufBytes& raw(const std::string& bytes) {
    bytes_ += bytes;
    return *this;
  }
  GgufBytes& u32(uint32_t value) { return raw(bytes_of_number(value)); }
  GgufBytes& u64(uint64_t value) { return raw(bytes_of_number(value)); }
  GgufBytes& text(const std::string& value) { return u64(value.size()).raw(value); }
  /// Key and value type; the value follows.
  GgufBytes& key(const std::string& name, uint32_t type) { return text(name).u32(type); }
  /// `ne` in GGUF's order: contiguous dimension first.
  GgufBytes& tensor(const std::string& name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(ne.size()));
    for (const uint64_t n : ne) u64(n);
    return u32(type).u64(offset);
  }
  /// Pads to `alignment` and appends `count` bytes of data.
  std::string with_data(size_t count, size_t alignment = 32) const {
    const size_t start = (bytes_.size() + alignment - 1) / alignment * alignment;
    return bytes_ + std::string(start - bytes_.size(), '\0') + std::string(count, '\x01');
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace bitloom::testing
