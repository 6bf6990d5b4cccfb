#pragma once
// A bounded cursor over little-endian bytes of a file: reads beyond the end are refused with file and position.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace bitloom {

static_assert(std::endian::native == std::endian::little, "model files are little-endian and are read as they lie");

class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  const std::string& file() const { return file_; }

  /// `what` completes the message "truncated at byte N: WHAT takes ...".
  template <typename T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left()) {
      refuse("{}: truncated at byte {}: {} takes {} bytes, {} are left", file_, position_, what, count, left());
    }
    const std::span<const std::byte> taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  /// A GGUF string: u64 length and that many bytes.
  std::string_view text(std::string_view what) {
    const std::span<const std::byte> taken = take(read<uint64_t>(what), what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  uint64_t position_ = 0;
};

}  // namespace bitloom
