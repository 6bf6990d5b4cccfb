#include "io/safetensors/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace bitloom {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// Checked header JSON and the data that follows it.
struct Parts {
  Json header;
  std::span<const std::byte> data;
};

Parts split_file(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  uint64_t length = 0;
  if (bytes.size() < sizeof length) {
    refuse("{}: truncated safetensors file: {} bytes, the header length alone takes 8", file.path(), bytes.size());
  }
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::span<const std::byte> rest = bytes.subspan(sizeof length);
  if (length > kMaxHeaderBytes) {
    refuse("{}: safetensors header length {} is more than the allowed {}", file.path(), length, kMaxHeaderBytes);
  }
  if (length > rest.size()) {
    refuse("{}: truncated safetensors file: the header claims {} bytes, {} follow", file.path(), length, rest.size());
  }
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), length);
  if (text.empty() || text.front() != '{') refuse("{}: safetensors header does not start with '{{'", file.path());
  Parts parts{parse_json(text, file.path()), rest.subspan(length)};
  file.release(bytes.first(sizeof length + length));
  return parts;
}

std::map<std::string, std::string> read_metadata(const Json& value, const std::string& path) {
  if (!value.is_object()) refuse("{}: __metadata__ is {}, expected an object", path, value.type_name());
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      refuse("{}: __metadata__ key \"{}\" is {}, expected a string", path, key, text.type_name());
    }
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

/// Reads one header entry; messages start with file and tensor.
class EntryReader {
 public:
  EntryReader(const std::string& path, const std::string& name, const Json& entry)
      : path_(path), name_(name), entry_(entry) {
    if (!entry.is_object()) refuse("{}: tensor '{}' is {}, expected an object", path, name, entry.type_name());
  }

  DType dtype() const {
    const Json& value = member("dtype");
    if (!value.is_string()) refuse("{}: tensor '{}': dtype is {}, expected a string", path_, name_, value.type_name());
    const std::string& text = value.get_ref<const std::string&>();
    const std::optional<DType> dtype = dtype_from_name(text);
    if (!dtype) refuse("{}: tensor '{}': unknown dtype \"{}\", allowed: {}", path_, name_, text, allowed_dtypes());
    return *dtype;
  }

  std::vector<int64_t> integers(const char* key) const {
    const Json& value = member(key);
    if (!value.is_array()) refuse("{}: tensor '{}': {} is {}, expected an array", path_, name_, key, value.type_name());
    std::vector<int64_t> numbers;
    for (const Json& item : value) {
      if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
        refuse("{}: tensor '{}': {} holds {}, expected whole numbers from 0 to 2^63 - 1", path_, name_, key,
               item.dump(-1, ' ', false, Json::error_handler_t::replace));
      }
      numbers.push_back(item.get<int64_t>());
    }
    return numbers;
  }

 private:
  const Json& member(const char* key) const {
    const auto found = entry_.find(key);
    if (found == entry_.end()) refuse("{}: tensor '{}' has no \"{}\"", path_, name_, key);
    return *found;
  }
  static std::string allowed_dtypes() {
    std::string names;
    for (const DTypeInfo& row : dtype_table()) names += (names.empty() ? "" : " ") + std::string(row.name);
    return names;
  }
  const std::string& path_;
  const std::string& name_;
  const Json& entry_;
};

/// Bytes of a tensor of this dtype and shape, refused when they overflow or are no whole number.
int64_t expected_bytes(const std::string& path, const std::string& name, DType dtype, std::span<const int64_t> shape) {
  const std::optional<int64_t> elements = checked_elements(shape);
  int64_t bits = 0;
  if (!elements || __builtin_mul_overflow(*elements, int64_t{info(dtype).bits}, &bits)) {
    refuse("{}: tensor '{}': the size of shape {} overflows", path, name, shape_text(shape));
  }
  if (bits % 8 != 0) {
    refuse("{}: tensor '{}': shape {} of {} is {} bits, no whole number of bytes", path, name, shape_text(shape),
           info(dtype).name, bits);
  }
  return bits / 8;
}

TensorView read_entry(const MappedFile& file, const std::string& name, const Json& entry,
                      std::span<const std::byte> data) {
  const EntryReader reader(file.path(), name, entry);
  TensorView tensor;
  tensor.name = name;
  tensor.file = file.path();
  tensor.dtype = reader.dtype();
  tensor.shape = reader.integers("shape");
  const int64_t expected = expected_bytes(file.path(), name, tensor.dtype, tensor.shape);
  const std::vector<int64_t> offsets = reader.integers("data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    refuse("{}: tensor '{}': data_offsets {} are no [begin, end]", file.path(), name, shape_text(offsets));
  }
  if (static_cast<uint64_t>(offsets[1]) > data.size()) {
    refuse("{}: tensor '{}': data_offsets {} lie beyond the {} bytes of data (truncated file?)", file.path(), name,
           shape_text(offsets), data.size());
  }
  if (offsets[1] - offsets[0] != expected) {
    refuse("{}: tensor '{}': data_offsets {} hold {} bytes, shape {} of {} takes {}", file.path(), name,
           shape_text(offsets), offsets[1] - offsets[0], shape_text(tensor.shape), info(tensor.dtype).name, expected);
  }
  tensor.bytes = data.subspan(static_cast<size_t>(offsets[0]), static_cast<size_t>(expected));
  return tensor;
}

/// Sorted tensors must tile the data: each begins where the one before it ends.
void check_tiling(const std::vector<TensorView>& tensors, std::span<const std::byte> data, const std::string& path) {
  size_t end = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t begin = static_cast<size_t>(tensors[i].bytes.data() - data.data());
    if (begin < end) {
      refuse("{}: tensor '{}' begins at {} and overlaps tensor '{}', which ends at {}", path, tensors[i].name, begin,
             tensors[i - 1].name, end);
    }
    if (begin > end) {
      refuse("{}: {} bytes before tensor '{}' (at {}) belong to no tensor", path, begin - end, tensors[i].name, begin);
    }
    end = begin + tensors[i].bytes.size();
  }
  if (end != data.size()) refuse("{}: the last {} bytes belong to no tensor", path, data.size() - end);
}

}  // namespace

SafetensorsFile open_safetensors(const std::string& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const Parts parts = split_file(*file);
  SafetensorsFile result;
  result.path = path;
  for (const auto& [name, entry] : parts.header.items()) {
    if (name == "__metadata__") {
      result.metadata = read_metadata(entry, path);
      continue;
    }
    result.tensors.push_back(read_entry(*file, name, entry, parts.data));
    result.tensors.back().owner = file;
    result.tensors.back().mapping = file;
  }
  // An empty tensor sorts before the one that begins at the same place.
  std::sort(result.tensors.begin(), result.tensors.end(), [](const TensorView& a, const TensorView& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  check_tiling(result.tensors, parts.data, path);
  return result;
}

}  // namespace bitloom
