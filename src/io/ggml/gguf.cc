#include "io/ggml/gguf.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <string_view>

#include "base/error.h"
#include "io/ggml/ggml_types.h"
#include "io/ggml/gguf_part.h"
#include "io/stored_rows.h"
#include "io/tensor_view.h"

namespace bitloom {
namespace {

/// "PREFIX-00002-of-00003.gguf".
struct SplitName {
  std::string prefix;
  int number = 0, count = 0;
  std::string part(int n) const { return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, n, count); }
};

std::optional<SplitName> parse_split_name(const std::string& path) {
  constexpr std::string_view kPattern = "-#####-of-#####.gguf";
  if (path.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    const bool is_digit = tail[i] >= '0' && tail[i] <= '9';
    if (kPattern[i] == '#' ? !is_digit : tail[i] != kPattern[i]) return std::nullopt;
  }
  SplitName name;
  name.prefix = path.substr(0, path.size() - kPattern.size());
  std::from_chars(tail.data() + 1, tail.data() + 6, name.number);
  std::from_chars(tail.data() + 10, tail.data() + 15, name.count);
  return name;
}

std::optional<int64_t> as_integer(const GgufValue& value) {
  if (const int64_t* number = std::get_if<int64_t>(&value)) return *number;
  const uint64_t* number = std::get_if<uint64_t>(&value);
  if (number == nullptr || *number > std::numeric_limits<int64_t>::max()) return std::nullopt;
  return static_cast<int64_t>(*number);
}

const char* kind_of(const GgufValue& value) {
  constexpr const char* kKinds[] = {"an unsigned integer",
                                    "an integer",
                                    "a float",
                                    "a bool",
                                    "a string",
                                    "an array of unsigned integers",
                                    "an array of integers",
                                    "an array of floats",
                                    "an array of bools",
                                    "an array of strings"};
  static_assert(std::size(kKinds) == std::variant_size_v<GgufValue>);
  return kKinds[value.index()];
}

/// The value of a split.* key of one part.
int64_t split_key(const GgufPart& part, const std::string& path, const std::string& key) {
  const auto found = part.metadata.find(key);
  const std::optional<int64_t> value = found == part.metadata.end() ? std::nullopt : as_integer(found->second);
  if (!value) refuse("{}: part of a split file without an integer key '{}'", path, key);
  return *value;
}

void check_part(const GgufPart& part, const SplitName& name, int number) {
  const std::string path = name.part(number);
  const int64_t no = split_key(part, path, "split.no");
  const int64_t count = split_key(part, path, "split.count");
  if (no != number - 1 || count != name.count) {
    refuse("{}: split.no {} of split.count {} does not fit its name, expected {} of {}", path, no, count, number - 1,
           name.count);
  }
}

/// Opens all parts; metadata of the first, tensors of all.
GgufPart open_split(const SplitName& name, const std::string& path) {
  if (name.number < 1 || name.number > name.count) {
    refuse("{}: part {} of {} cannot be", path, name.number, name.count);
  }
  GgufPart whole;
  for (int i = 1; i <= name.count; ++i) {
    GgufPart part = open_gguf_part(name.part(i));
    check_part(part, name, i);
    if (i == 1) whole.metadata = part.metadata;
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(whole.tensors));
  }
  std::set<std::string_view> names;
  for (const GgufTensor& tensor : whole.tensors) {
    if (!names.insert(tensor.name).second) refuse("{}: tensor '{}' is in another part too", tensor.file, tensor.name);
  }
  const int64_t expected = split_key(whole, name.part(1), "split.tensors.count");
  if (expected != static_cast<int64_t>(whole.tensors.size())) {
    refuse("{}: split.tensors.count is {}, the {} parts hold {}", name.part(1), expected, name.count,
           whole.tensors.size());
  }
  return whole;
}

/// A file whose name is not a split part's.
GgufPart open_whole(const std::string& path) {
  GgufPart part = open_gguf_part(path);
  if (part.metadata.contains("split.count") && split_key(part, path, "split.count") > 1) {
    refuse("{}: one of {} parts, but its name does not end in -0000I-of-0000N.gguf, so the others cannot be found",
           path, split_key(part, path, "split.count"));
  }
  return part;
}

class GgufRows final : public StoredRows {
 public:
  GgufRows(const GgufTensor& tensor, const GgmlType& type)
      : tensor_(tensor), type_(type), shape_(matrix_shape(tensor.shape)), blocks_(shape_.cols / type.block_elements) {}

  int64_t rows() const override { return shape_.rows; }
  int64_t cols() const override { return shape_.cols; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    if (shape_.cols == 0 || begin == end) return;  // no bytes: `out` may be null
    type_.decode(tensor_.bytes.data() + begin * blocks_ * type_.block_bytes, (end - begin) * blocks_, out);
  }
  int64_t stored_bytes() const override { return static_cast<int64_t>(tensor_.bytes.size()); }
  std::string storage() const override { return std::string(type_.name); }
  const std::byte* stored_rows() const override { return tensor_.bytes.data(); }

 private:
  GgufTensor tensor_;
  const GgmlType& type_;
  MatrixShape shape_;
  int64_t blocks_;  // per row
};

}  // namespace

GgufFile GgufFile::open(const std::string& path) {
  const std::optional<SplitName> split = parse_split_name(path);
  GgufPart part = split && split->count != 1 ? open_split(*split, path) : open_whole(path);
  GgufFile file;
  file.path_ = path;
  file.metadata_ = std::move(part.metadata);
  file.tensors_ = std::move(part.tensors);
  return file;
}

RowSourcePtr gguf_rows(const GgufTensor& tensor) {
  const GgmlType* type = find_ggml_type(tensor.type);
  if (type == nullptr) {
    std::string allowed;
    for (const GgmlType& row : ggml_types()) allowed += (allowed.empty() ? "" : " ") + std::string(row.name);
    refuse("{}: tensor '{}' has type {}, which is not supported; supported: {}", tensor.file, tensor.name,
           ggml_type_name(tensor.type), allowed);
  }
  return std::make_shared<GgufRows>(tensor, *type);
}

// Typed look-ups.

namespace {

[[noreturn]] void refuse_kind(const GgufFile& file, const std::string& key, const char* expected) {
  refuse("{}: key '{}' is {}, expected {}", file.path(), key, kind_of(file.metadata().at(key)), expected);
}

/// nullptr when absent; refused when of another type.
template <typename T>
const T* find_as(const GgufFile& file, const std::string& key, const char* expected) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) refuse_kind(file, key, expected);
  return value;
}

template <typename T>
T required(const GgufFile& file, const std::string& key, std::optional<T> value) {
  if (!value) refuse("{}: no key '{}'", file.path(), key);
  return *std::move(value);
}

}  // namespace

std::string GgufFile::text(const std::string& key) const { return required(*this, key, find_text(key)); }
int64_t GgufFile::integer(const std::string& key) const { return required(*this, key, find_integer(key)); }
double GgufFile::number(const std::string& key) const { return required(*this, key, find_number(key)); }

std::optional<std::string> GgufFile::find_text(const std::string& key) const {
  const std::string* value = find_as<std::string>(*this, key, "a string");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<int64_t> GgufFile::find_integer(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::nullopt;
  const std::optional<int64_t> value = as_integer(found->second);
  if (!value) refuse_kind(*this, key, "an integer of at most 2^63 - 1");
  return value;
}

std::optional<double> GgufFile::find_number(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return std::nullopt;
  if (const std::optional<int64_t> value = as_integer(found->second)) return static_cast<double>(*value);
  return *find_as<double>(*this, key, "a number");
}

std::optional<bool> GgufFile::find_flag(const std::string& key) const {
  const bool* value = find_as<bool>(*this, key, "a bool");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

const std::vector<std::string>* GgufFile::find_texts(const std::string& key) const {
  return find_as<std::vector<std::string>>(*this, key, "an array of strings");
}

std::vector<int64_t> GgufFile::integers(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return {};
  const auto* unsigned_values = std::get_if<std::vector<uint64_t>>(&found->second);
  if (unsigned_values == nullptr) return *find_as<std::vector<int64_t>>(*this, key, "an array of integers");
  std::vector<int64_t> values;
  for (const uint64_t value : *unsigned_values) {
    if (value > std::numeric_limits<int64_t>::max())
      refuse("{}: key '{}' holds {}, which overflows", path_, key, value);
    values.push_back(static_cast<int64_t>(value));
  }
  return values;
}

std::vector<double> GgufFile::numbers(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return {};
  if (const auto* values = std::get_if<std::vector<double>>(&found->second)) return *values;
  if (!std::holds_alternative<std::vector<int64_t>>(found->second) &&
      !std::holds_alternative<std::vector<uint64_t>>(found->second)) {
    refuse_kind(*this, key, "an array of numbers");
  }
  const std::vector<int64_t> whole = integers(key);
  return {whole.begin(), whole.end()};
}

}  // namespace bitloom
