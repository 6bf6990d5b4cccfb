#include "io/ggml/gguf_part.h"

namespace bitloom {
namespace {

enum ValueType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

/// Bytes that a value of this type takes at least; 0 for what cannot be an array's element.
uint64_t least_bytes(uint32_t type) {
  constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

bool read_bool(ByteReader& reader, std::string_view what) {
  const auto byte = reader.read<uint8_t>(what);
  if (byte > 1) refuse("{}: {}: bool is {}, expected 0 or 1", reader.file(), what, byte);
  return byte == 1;
}

template <typename Stored, typename Wide>
std::vector<Wide> read_numbers(ByteReader& reader, uint64_t count, std::string_view what) {
  std::vector<Wide> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) values.push_back(static_cast<Wide>(reader.read<Stored>(what)));
  return values;
}

std::vector<bool> read_bools(ByteReader& reader, uint64_t count, std::string_view what) {
  std::vector<bool> values;
  for (uint64_t i = 0; i < count; ++i) values.push_back(read_bool(reader, what));
  return values;
}

std::vector<std::string> read_strings(ByteReader& reader, uint64_t count, std::string_view what) {
  std::vector<std::string> values;
  for (uint64_t i = 0; i < count; ++i) values.emplace_back(reader.text(what));
  return values;
}

GgufValue read_array(ByteReader& reader, std::string_view what) {
  const auto type = reader.read<uint32_t>(what);
  const auto count = reader.read<uint64_t>(what);
  if (type == kArray) refuse("{}: {}: nested arrays are not supported", reader.file(), what);
  const uint64_t least = least_bytes(type);
  if (least == 0) refuse("{}: {}: unknown element type {}, allowed: 0 to 12", reader.file(), what, type);
  if (count > reader.left() / least) {
    refuse("{}: {}: an array of {} items takes at least {} bytes each, {} are left in the file", reader.file(), what,
           count, least, reader.left());
  }
  switch (type) {
    case kU8:
      return read_numbers<uint8_t, uint64_t>(reader, count, what);
    case kI8:
      return read_numbers<int8_t, int64_t>(reader, count, what);
    case kU16:
      return read_numbers<uint16_t, uint64_t>(reader, count, what);
    case kI16:
      return read_numbers<int16_t, int64_t>(reader, count, what);
    case kU32:
      return read_numbers<uint32_t, uint64_t>(reader, count, what);
    case kI32:
      return read_numbers<int32_t, int64_t>(reader, count, what);
    case kF32:
      return read_numbers<float, double>(reader, count, what);
    case kBool:
      return read_bools(reader, count, what);
    case kString:
      return read_strings(reader, count, what);
    case kU64:
      return read_numbers<uint64_t, uint64_t>(reader, count, what);
    case kI64:
      return read_numbers<int64_t, int64_t>(reader, count, what);
    default:
      return read_numbers<double, double>(reader, count, what);
  }
}

}  // namespace

GgufValue read_gguf_value(ByteReader& reader, uint32_t type, std::string_view what) {
  switch (type) {
    case kU8:
      return uint64_t{reader.read<uint8_t>(what)};
    case kI8:
      return int64_t{reader.read<int8_t>(what)};
    case kU16:
      return uint64_t{reader.read<uint16_t>(what)};
    case kI16:
      return int64_t{reader.read<int16_t>(what)};
    case kU32:
      return uint64_t{reader.read<uint32_t>(what)};
    case kI32:
      return int64_t{reader.read<int32_t>(what)};
    case kF32:
      return double{reader.read<float>(what)};
    case kBool:
      return read_bool(reader, what);
    case kString:
      return std::string(reader.text(what));
    case kArray:
      return read_array(reader, what);
    case kU64:
      return reader.read<uint64_t>(what);
    case kI64:
      return reader.read<int64_t>(what);
    case kF64:
      return reader.read<double>(what);
    default:
      refuse("{}: {}: unknown value type {}, allowed: 0 to 12", reader.file(), what, type);
  }
}

}  // namespace bitloom
