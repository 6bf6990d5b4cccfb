#pragma once
// The metadata of one model in a GGUF file, as the families of gguf_families.h read it.

#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "io/ggml/gguf.h"
#include "model/gguf/gguf_names.h"

namespace bitloom {

/// Metadata under "ARCHITECTURE.", and what a file's tensors tell.
class GgufMetadata {
 public:
  GgufMetadata(const GgufFile& file, std::string architecture) : file_(file), architecture_(std::move(architecture)) {}

  const GgufFile& file() const { return file_; }
  std::string key(const std::string& name) const { return architecture_ + "." + name; }
  int64_t integer(const std::string& name) const { return file_.integer(key(name)); }
  std::optional<int64_t> find_integer(const std::string& name) const { return file_.find_integer(key(name)); }
  double number(const std::string& name) const { return shortest_decimal(file_.number(key(name))); }
  double number(const std::string& name, double fallback) const {
    const std::optional<double> value = file_.find_number(key(name));
    return value ? shortest_decimal(*value) : fallback;
  }
  const GgufTensor* find_tensor(const std::string& name) const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  bool has_tensor(const std::string& name) const { return find_tensor(name) != nullptr; }

  /// A size that may divide another and be multiplied with one.
  int64_t size(const std::string& name) const {
    constexpr int64_t kLargest = int64_t{1} << 30;
    const int64_t value = integer(name);
    if (value < 1 || value > kLargest) {
      refuse("{}: '{}' is {}, expected 1 to {}", file_.path(), key(name), value, kLargest);
    }
    return value;
  }
  /// The same that may be 0, as it is where the key is absent.
  int64_t size_or_zero(const std::string& name) const { return find_integer(name).value_or(0) == 0 ? 0 : size(name); }
  int64_t size(const std::string& name, int64_t fallback) const { return file_.has(key(name)) ? size(name) : fallback; }
  int64_t head_dim() const {
    const int64_t hidden = size("embedding_length"), heads = size("attention.head_count");
    if (hidden < heads) {
      refuse("{}: '{}' is {}, more than '{}' = {}", file_.path(), key("attention.head_count"), heads,
             key("embedding_length"), hidden);
    }
    const int64_t keys = size("attention.key_length", hidden / heads);
    const int64_t values = size("attention.value_length", hidden / heads);
    if (keys == values) return keys;
    refuse("{}: '{}' is {} and '{}' is {}, expected equal lengths", file_.path(), key("attention.key_length"), keys,
           key("attention.value_length"), values);
  }
  int64_t rotated() const { return size("rope.dimension_count", head_dim()); }

 private:
  const GgufFile& file_;
  std::string architecture_;
};

/// Error(kRefused) naming the key where it is there with another value.
inline void require_neutral(const GgufMetadata& data, const std::string& name, double neutral) {
  const double value = data.number(name, neutral);
  if (value == neutral) return;
  refuse("{}: '{}' is {}, supported: {}", data.file().path(), data.key(name), value, neutral);
}

}  // namespace bitloom
