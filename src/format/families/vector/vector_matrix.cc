#include "format/families/vector/vector_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

std::vector<float> load(const TensorPart& part) {
  std::vector<float> values(part.bytes.size() / 2);
  decode_to_f32(DType::kF16, part.bytes.data(), 0, static_cast<int64_t>(values.size()), values.data());
  return values;
}

class VectorMatrix final : public BaseMatrix {
 public:
  VectorMatrix(const std::string& name, const VectorStorage& storage, int64_t rows, int64_t cols,
               const std::vector<TensorPart>& parts)
      : storage_(storage), layout_(storage, rows, cols), rows_(rows), cols_(cols) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    codes_ = checked_part(name, text, parts, want[0]);
    codebooks_ = load(checked_part(name, text, parts, want[1]));
    scales_ = load(checked_part(name, text, parts, want[2]));
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    constexpr int64_t kTile = VectorLayout::kTileRows;
    uint16_t codes[kTile];
    for (int64_t first = begin; first < end;) {
      const int64_t tile = first / kTile, last = std::min(end, (tile + 1) * kTile), count = last - first;
      float* rows = out + (first - begin) * cols_;
      for (int64_t j = 0; j < layout_.groups(); ++j) {
        for (int64_t m = 0; m < storage_.codebooks; ++m) {
          read_codes(tile, j, m, first - tile * kTile, count, codes);
          add_vectors(j, m, codes, count, rows);
        }
      }
      for (int64_t r = 0; r < count; ++r) {
        const float scale = scales_[static_cast<size_t>(first + r)];
        for (int64_t c = 0; c < cols_; ++c) rows[r * cols_ + c] *= scale;
      }
      first = last;
    }
  }

  double nominal_bits() const override { return bitloom::nominal_bits(storage_, rows_, cols_); }

  void check_values(const std::string& name) const override {
    for (size_t i = 0; i < scales_.size(); ++i) {
      if (std::isfinite(scales_[i]) && !std::signbit(scales_[i])) continue;
      fail(ErrorKind::kUnverified, "{}.scales: [{}] is {}, must be finite and not negative", name, i, scales_[i]);
    }
    for (size_t i = 0; i < codebooks_.size(); ++i) {
      if (std::isfinite(codebooks_[i])) continue;
      const auto group = static_cast<size_t>(storage_.group), entries = static_cast<size_t>(storage_.entries());
      fail(ErrorKind::kUnverified, "{}.codebooks: [{}, {}, {}] is {}, must be finite", name, i / group / entries,
           i / group % entries, i % group, codebooks_[i]);
    }
    for (int64_t tile = 0; tile < layout_.tiles(); ++tile) {
      for (int64_t j = 0; j < layout_.groups(); ++j) {
        for (int64_t m = 0; m < storage_.codebooks; ++m) check_padding(name, tile, j, m);
      }
    }
  }

 private:
  const std::byte* stream(int64_t tile, int64_t group, int64_t codebook) const {
    return codes_.bytes.data() + layout_.place(tile, group, codebook);
  }

  /// Of rows [first, first + count) of a tile.
  void read_codes(int64_t tile, int64_t group, int64_t codebook, int64_t first, int64_t count, uint16_t* codes) const {
    uint8_t bytes[VectorLayout::kTileRows];
    const std::byte* low = stream(tile, group, codebook);
    unpack_bits(low, first, count, static_cast<int>(layout_.low_bits()), bytes);
    std::copy(bytes, bytes + count, codes);
    if (layout_.high_bits() == 0) return;
    unpack_bits(low + layout_.low_bytes(tile), first, count, static_cast<int>(layout_.high_bits()), bytes);
    for (int64_t r = 0; r < count; ++r) codes[r] = static_cast<uint16_t>(codes[r] | bytes[r] << 8);
  }

  /// Codebook m's vectors into group j of `count` rows: set by the first codebook, added to by the others.
  void add_vectors(int64_t j, int64_t m, const uint16_t* codes, int64_t count, float* rows) const {
    const int64_t first = j * storage_.group, width = std::min(storage_.group, cols_ - first);
    const float* book = codebooks_.data() + m * storage_.entries() * storage_.group;
    for (int64_t r = 0; r < count; ++r) {
      const float* entry = book + codes[r] * storage_.group;
      float* out = rows + r * cols_ + first;
      if (m == 0) {
        std::copy_n(entry, width, out);
      } else {
        for (int64_t c = 0; c < width; ++c) out[c] += entry[c];
      }
    }
  }

  void check_padding(const std::string& name, int64_t tile, int64_t group, int64_t codebook) const {
    const std::byte* low = stream(tile, group, codebook);
    const int64_t height = layout_.height(tile);
    if (padding_is_zero(low, height, static_cast<int>(layout_.low_bits())) &&
        (layout_.high_bits() == 0 ||
         padding_is_zero(low + layout_.low_bytes(tile), height, static_cast<int>(layout_.high_bits())))) {
      return;
    }
    fail(ErrorKind::kUnverified, "{}.codes: padding bits of rows from {}, group {}, codebook {} are not zero", name,
         tile * VectorLayout::kTileRows, group, codebook);
  }

  VectorStorage storage_;
  VectorLayout layout_;
  int64_t rows_, cols_;
  TensorPart codes_;
  std::vector<float> codebooks_, scales_;
};

std::vector<std::byte> to_f16(std::span<const float> values) {
  std::vector<std::byte> bytes(2 * values.size());
  encode_from_f32(DType::kF16, values.data(), static_cast<int64_t>(values.size()), bytes.data());
  return bytes;
}

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const VectorStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<VectorMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kVectorFamily =
    family_row<VectorStorage, parse_vector>("vector", is_vector_spelling, vector_option_names);

std::vector<std::vector<std::byte>> pack_vectors(const VectorStorage& storage, int64_t rows, int64_t cols,
                                                 std::span<const uint16_t> codes, std::span<const float> codebooks,
                                                 std::span<const float> scales) {
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
  return {std::move(packed), to_f16(codebooks), to_f16(scales)};
}

std::vector<uint16_t> unpack_codes(const VectorStorage& storage, int64_t rows, int64_t cols,
                                   std::span<const std::byte> bytes) {
  const VectorLayout layout(storage, rows, cols);
  const int64_t books = storage.codebooks;
  std::vector<uint16_t> codes(static_cast<size_t>(rows * layout.groups() * books));
  uint8_t low[VectorLayout::kTileRows], high[VectorLayout::kTileRows] = {};
  for (int64_t tile = 0; tile < layout.tiles(); ++tile) {
    const int64_t height = layout.height(tile), first = tile * VectorLayout::kTileRows;
    for (int64_t j = 0; j < layout.groups(); ++j) {
      for (int64_t m = 0; m < books; ++m) {
        const std::byte* stream = bytes.data() + layout.place(tile, j, m);
        unpack_bits(stream, 0, height, static_cast<int>(layout.low_bits()), low);
        if (layout.high_bits() > 0) {
          unpack_bits(stream + layout.low_bytes(tile), 0, height, static_cast<int>(layout.high_bits()), high);
        }
        for (int64_t r = 0; r < height; ++r) {
          codes[static_cast<size_t>(((first + r) * layout.groups() + j) * books + m)] =
              static_cast<uint16_t>(low[r] | high[r] << 8);
        }
      }
    }
  }
  return codes;
}

}  // namespace bitloom
