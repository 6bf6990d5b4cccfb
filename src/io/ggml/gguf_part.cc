#include "io/ggml/gguf_part.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/text/text.h"
#include "io/ggml/ggml_types.h"
#include "io/tensor_view.h"

namespace bitloom {
namespace {

constexpr uint32_t kMaxDims = 4;  // ggml's own limit

struct Counts {
  uint64_t tensors = 0, keys = 0;
};

Counts read_header(ByteReader& reader) {
  const auto magic = reader.read<uint32_t>("the magic number");
  if (magic != 0x46554747) refuse("{}: not a GGUF file: it does not begin with \"GGUF\"", reader.file());
  const auto version = reader.read<uint32_t>("the version");
  if (version != 2 && version != 3) {
    const bool swapped = version == 0x02000000 || version == 0x03000000;
    refuse("{}: GGUF version {} is not supported, allowed: 2, 3{}", reader.file(), version,
           swapped ? " (this file is big-endian)" : "");
  }
  Counts counts;
  counts.tensors = reader.read<uint64_t>("the tensor count");
  counts.keys = reader.read<uint64_t>("the key count");
  return counts;
}

/// A key or a tensor name: it will stand in messages and in JSON.
std::string read_name(ByteReader& reader, const char* what) {
  const uint64_t at = reader.position();
  const std::string_view name = reader.text(what);
  if (first_invalid_utf8(name) != name.size()) refuse("{}: {} at byte {} is no UTF-8", reader.file(), what, at);
  return std::string(name);
}

GgufMetadata read_metadata(ByteReader& reader, uint64_t count) {
  constexpr uint64_t kLeast = 8 + 4 + 1;
  if (count > reader.left() / kLeast) {
    refuse("{}: claims {} metadata keys, {} bytes are left in the file", reader.file(), count, reader.left());
  }
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = read_name(reader, "a metadata key");
    const std::string what = "key '" + key + "'";
    const auto type = reader.read<uint32_t>(what);
    if (!metadata.emplace(key, read_gguf_value(reader, type, what)).second) {
      refuse("{}: duplicate key '{}'", reader.file(), key);
    }
  }
  return metadata;
}

uint64_t read_alignment(const GgufMetadata& metadata, const std::string& path) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const uint64_t* value = std::get_if<uint64_t>(&found->second);
  if (value == nullptr || !std::has_single_bit(*value) || *value > (uint64_t{1} << 31)) {
    refuse("{}: key 'general.alignment' is {}, expected a power of two up to 2^31", path,
           value == nullptr ? "no unsigned integer" : std::to_string(*value));
  }
  return *value;
}

struct Info {
  GgufTensor tensor;
  uint64_t offset = 0;
  int64_t size = -1;  // bytes; -1 for a type whose size is not known here
};

/// Size of a tensor whose type is decodable: whole blocks per row (the last dimension).
int64_t size_of(const GgufTensor& tensor, const GgmlType& type, int64_t elements) {
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (row % type.block_elements != 0) {
    refuse("{}: tensor '{}': rows of {} elements are no multiple of {}'s block of {}", tensor.file, tensor.name, row,
           type.name, type.block_elements);
  }
  int64_t size = 0;
  if (__builtin_mul_overflow(elements / type.block_elements, int64_t{type.block_bytes}, &size)) {
    refuse("{}: tensor '{}': the size of shape {} overflows", tensor.file, tensor.name, shape_text(tensor.shape));
  }
  return size;
}

Info read_info(ByteReader& reader) {
  Info info;
  GgufTensor& tensor = info.tensor;
  tensor.file = reader.file();
  tensor.name = read_name(reader, "a tensor name");
  const std::string what = "tensor '" + tensor.name + "'";
  const auto dims = reader.read<uint32_t>(what);
  if (dims > kMaxDims) refuse("{}: {} has {} dimensions, allowed: up to {}", tensor.file, what, dims, kMaxDims);
  for (uint32_t i = 0; i < dims; ++i) {
    const auto ne = reader.read<uint64_t>(what);
    if (ne > std::numeric_limits<int64_t>::max()) refuse("{}: {}: dimension {} overflows", tensor.file, what, ne);
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(ne));
  }
  tensor.type = reader.read<uint32_t>(what);
  info.offset = reader.read<uint64_t>(what);
  const std::optional<int64_t> elements = checked_elements(tensor.shape);
  if (!elements) refuse("{}: {}: the size of shape {} overflows", tensor.file, what, shape_text(tensor.shape));
  const GgmlType* type = find_ggml_type(tensor.type);
  if (type != nullptr) info.size = size_of(tensor, *type, *elements);
  return info;
}

std::vector<Info> read_infos(ByteReader& reader, uint64_t count) {
  constexpr uint64_t kLeast = 8 + 4 + 4 + 8;
  if (count > reader.left() / kLeast) {
    refuse("{}: claims {} tensors, {} bytes are left in the file", reader.file(), count, reader.left());
  }
  std::vector<Info> infos;
  for (uint64_t i = 0; i < count; ++i) infos.push_back(read_info(reader));
  return infos;
}

void check_offset(const Info& info, uint64_t alignment, uint64_t data_size) {
  const GgufTensor& tensor = info.tensor;
  if (info.offset % alignment != 0) {
    refuse("{}: tensor '{}': offset {} is no multiple of the alignment {}", tensor.file, tensor.name, info.offset,
           alignment);
  }
  const uint64_t size = info.size < 0 ? 0 : static_cast<uint64_t>(info.size);
  if (info.offset > data_size || size > data_size - info.offset) {
    refuse("{}: tensor '{}': its {} bytes at offset {} lie beyond the {} bytes of data (truncated file?)", tensor.file,
           tensor.name, size, info.offset, data_size);
  }
}

/// Gives every tensor its bytes. One of unknown size reaches up to the next tensor, or to the end.
void place(std::vector<Info>& infos, std::span<const std::byte> data, uint64_t alignment) {
  std::vector<Info*> order;
  for (Info& info : infos) {
    check_offset(info, alignment, data.size());
    order.push_back(&info);
  }
  std::stable_sort(order.begin(), order.end(), [](const Info* a, const Info* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->size < b->size;
  });
  for (size_t i = 0; i < order.size(); ++i) {
    Info& info = *order[i];
    const uint64_t limit = i + 1 < order.size() ? order[i + 1]->offset : data.size();
    const uint64_t size = info.size < 0 ? limit - info.offset : static_cast<uint64_t>(info.size);
    if (size > limit - info.offset) {
      refuse("{}: tensor '{}' ({} bytes at offset {}) overlaps tensor '{}' at {}", info.tensor.file, info.tensor.name,
             size, info.offset, order[i + 1]->tensor.name, limit);
    }
    info.tensor.bytes = data.subspan(info.offset, size);
  }
}

}  // namespace

GgufPart open_gguf_part(const std::string& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  ByteReader reader(file->bytes(), path);
  const Counts counts = read_header(reader);
  GgufPart part;
  part.metadata = read_metadata(reader, counts.keys);
  std::vector<Info> infos = read_infos(reader, counts.tensors);

  const uint64_t alignment = read_alignment(part.metadata, path);
  const uint64_t start = (reader.position() + alignment - 1) / alignment * alignment;
  const std::span<const std::byte> bytes = file->bytes();
  place(infos, start < bytes.size() ? bytes.subspan(start) : std::span<const std::byte>{}, alignment);

  std::set<std::string_view> names;
  for (Info& info : infos) {
    if (!names.insert(info.tensor.name).second) refuse("{}: duplicate tensor '{}'", path, info.tensor.name);
    info.tensor.owner = file;
  }
  for (Info& info : infos) part.tensors.push_back(std::move(info.tensor));
  return part;
}

}  // namespace bitloom
