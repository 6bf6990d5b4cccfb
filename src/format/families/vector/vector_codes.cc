#include "format/families/vector/vector_codes.h"

#include <algorithm>

#include "base/error.h"
#include "packing/bitstream.h"

namespace bitloom {

void VectorCodes::read(int64_t tile, int64_t group, int64_t codebook, int64_t first, int64_t count,
                       uint16_t* codes) const {
  uint8_t bytes[VectorLayout::kTileRows];
  const std::byte* low = stream(tile, group, codebook);
  unpack_bits(low, first, count, static_cast<int>(layout_.low_bits()), bytes);
  std::copy(bytes, bytes + count, codes);
  if (layout_.high_bits() == 0) return;
  unpack_bits(low + layout_.low_bytes(tile), first, count, static_cast<int>(layout_.high_bits()), bytes);
  for (int64_t r = 0; r < count; ++r) codes[r] = static_cast<uint16_t>(codes[r] | bytes[r] << 8);
}

void VectorCodes::check_padding(const std::string& name) const {
  for (int64_t tile = 0; tile < layout_.tiles(); ++tile) {
    for (int64_t j = 0; j < layout_.groups(); ++j) {
      for (int64_t m = 0; m < layout_.codebooks(); ++m) check_padding(name, tile, j, m);
    }
  }
}

void VectorCodes::check_padding(const std::string& name, int64_t tile, int64_t group, int64_t codebook) const {
  const std::byte* low = stream(tile, group, codebook);
  const int64_t height = layout_.height(tile);
  if (padding_is_zero(low, height, static_cast<int>(layout_.low_bits())) &&
      (layout_.high_bits() == 0 ||
       padding_is_zero(low + layout_.low_bytes(tile), height, static_cast<int>(layout_.high_bits())))) {
    return;
  }
  fail(ErrorKind::kUnverified, "{}: padding bits of rows from {}, group {}, codebook {} are not zero", name,
       tile * VectorLayout::kTileRows, group, codebook);
}

std::vector<float> from_f16(const TensorPart& part) {
  std::vector<float> values(part.bytes.size() / 2);
  decode_to_f32(DType::kF16, part.bytes.data(), 0, static_cast<int64_t>(values.size()), values.data());
  return values;
}

std::vector<std::byte> to_f16(std::span<const float> values) {
  std::vector<std::byte> bytes(2 * values.size());
  encode_from_f32(DType::kF16, values.data(), static_cast<int64_t>(values.size()), bytes.data());
  return bytes;
}

std::vector<std::byte> pack_codes(const VectorStorage& storage, int64_t rows, int64_t cols,
                                  std::span<const uint16_t> codes) {
  const VectorLayout layout(storage, rows, cols);
  std::vector<std::byte> packed(static_cast<size_t>(layout.bytes()));
  uint8_t low[VectorLayout::kTileRows], high[VectorLayout::kTileRows];
  for (int64_t tile = 0; tile < layout.tiles(); ++tile) {
    const int64_t height = layout.height(tile);
    for (int64_t j = 0; j < layout.groups(); ++j) {
      for (int64_t m = 0; m < storage.codebooks; ++m) {
        for (int64_t r = 0; r < height; ++r) {
          const int64_t row = tile * VectorLayout::kTileRows + r;
          const uint16_t code = codes[static_cast<size_t>((row * layout.groups() + j) * storage.codebooks + m)];
          low[r] = static_cast<uint8_t>(code), high[r] = static_cast<uint8_t>(code >> 8);
        }
        std::byte* out = packed.data() + layout.place(tile, j, m);
        pack_bits(low, height, static_cast<int>(layout.low_bits()), out);
        if (layout.high_bits() == 0) continue;
        pack_bits(high, height, static_cast<int>(layout.high_bits()), out + layout.low_bytes(tile));
      }
    }
  }
  return packed;
}

std::vector<uint16_t> unpack_codes(const VectorStorage& storage, int64_t rows, int64_t cols,
                                   std::span<const std::byte> bytes) {
  const VectorCodes packed(VectorLayout(storage, rows, cols), bytes.data());
  const int64_t groups = packed.layout().groups(), books = storage.codebooks;
  std::vector<uint16_t> codes(static_cast<size_t>(rows * groups * books));
  uint16_t column[VectorLayout::kTileRows];
  for (int64_t tile = 0; tile < packed.layout().tiles(); ++tile) {
    const int64_t height = packed.layout().height(tile), first = tile * VectorLayout::kTileRows;
    for (int64_t j = 0; j < groups; ++j) {
      for (int64_t m = 0; m < books; ++m) {
        packed.read(tile, j, m, 0, height, column);
        for (int64_t r = 0; r < height; ++r) {
          codes[static_cast<size_t>(((first + r) * groups + j) * books + m)] = column[r];
        }
      }
    }
  }
  return codes;
}

}  // namespace bitloom
