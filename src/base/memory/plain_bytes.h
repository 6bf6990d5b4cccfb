#pragma once
// Arrays of plain values as bytes, for other processes of the same program on machines of the same kind.

#include <cstring>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/ranks.h"

namespace bitloom {

/// The number of elements, then the elements.
template <typename T>
void append(Bytes& bytes, const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const uint64_t count = values.size();
  const size_t at = bytes.size();
  bytes.resize(at + sizeof count + count * sizeof(T));
  std::memcpy(bytes.data() + at, &count, sizeof count);
  if (count > 0) std::memcpy(bytes.data() + at + sizeof count, values.data(), count * sizeof(T));
}

/// Takes arrays out in the order in which they were appended. Error(kFailed) when there is less than is taken.
class BytesReader {
 public:
  explicit BytesReader(const Bytes& bytes) : bytes_(bytes) {}

  template <typename T>
  std::vector<T> take() {
    static_assert(std::is_trivially_copyable_v<T>);
    uint64_t count = 0;
    require(sizeof count);
    std::memcpy(&count, bytes_.data() + at_, sizeof count);
    at_ += sizeof count;
    if (count > (bytes_.size() - at_) / sizeof(T)) require(bytes_.size() + 1);
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), bytes_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
    return values;
  }

  bool at_end() const { return at_ == bytes_.size(); }

 private:
  void require(size_t size) const {
    if (bytes_.size() - at_ < size) fail(ErrorKind::kFailed, "a message of another rank ends early");
  }

  const Bytes& bytes_;
  size_t at_ = 0;
};

}  // namespace bitloom
