#include "format/families/trellis/trellis_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace bitloom {
namespace {

class TrellisMatrix final : public BaseMatrix {
 public:
  TrellisMatrix(const std::string& name, const TrellisStorage& storage, int64_t rows, int64_t cols,
                const std::vector<TensorPart>& parts)
      : code_(storage.code), layout_(storage.code, rows, cols), rows_(rows), cols_(cols) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    codes_ = checked_part(name, text, parts, want[0]);
    std::memcpy(&scale_, checked_part(name, text, parts, want[1]).bytes.data(), sizeof scale_);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    constexpr int64_t kSide = kTrellisTileSide, kWidth = 2 * kSide;
    float block[kSuperRows * kSide * kWidth];
    for (int64_t i = begin / kSide; i * kSide < end;) {
      // Tile rows [i, last) of one super-tile after the other.
      const int64_t last = std::min((i / kSuperRows + 1) * kSuperRows, (end + kSide - 1) / kSide);
      const int64_t first_row = std::max(begin, i * kSide), last_row = std::min(end, last * kSide);
      for (int64_t c = 0; c < cols_; c += kWidth) {
        decode_tiles(i, last, c / kSide, block);
        for (int64_t r = first_row; r < last_row; ++r) {
          std::copy_n(block + (r - i * kSide) * kWidth, std::min(kWidth, cols_ - c), out + (r - begin) * cols_ + c);
        }
      }
      i = last;
    }
  }

  double nominal_bits() const override { return code_.half_bits / 2.0; }

  void check_values(const std::string& name) const override {
    if (!std::isfinite(scale_) || scale_ < 0) {
      fail(ErrorKind::kUnverified, "{}.scale: is {}, must be finite and not negative", name, scale_);
    }
    if ((layout_.tile_cols() - 1) * kTrellisTileSide < cols_) return;
    std::vector<uint16_t> words(static_cast<size_t>(code_.words()));
    for (int64_t i = 0; i < layout_.tile_rows(); ++i) {
      read_tile(i, layout_.tile_cols() - 1, words.data());
      if (std::all_of(words.begin(), words.end(), [](uint16_t word) { return word == 0; })) continue;
      fail(ErrorKind::kUnverified, "{}.codes: the tile beyond the last column of tile row {} is not zero", name, i);
    }
  }

 private:
  static constexpr int64_t kSuperRows = 16;  // tiles

  /// block [16 (last - first), 32]: tile rows [first, last) of one super-tile, two tiles from `tile_col`. What
  /// decode_trellis_tile does, step by step for all of them at once.
  void decode_tiles(int64_t first, int64_t last, int64_t tile_col, float* block) const {
    constexpr int kMost = 32;
    const TrellisLayout::Place at = layout_.place(first, tile_col);
    const std::byte* words = codes_.bytes.data() + 2 * at.first;
    const auto lanes = static_cast<int>(2 * (last - first));
    const int bits = 16 * code_.words();
    int end_bit = 0;  // P_t
    for (int t = 0; t < code_.steps(); ++t) {
      end_bit += code_.fresh_bits(t);
      const int start = (end_bit - 16 + bits) % bits, shift = start % 16;
      uint16_t high[kMost], low[kMost], g[kMost];
      std::memcpy(high, words + 2 * (start / 16 * at.stride), static_cast<size_t>(2 * lanes));
      std::memcpy(low, words + 2 * ((start / 16 + 1) % code_.words() * at.stride), static_cast<size_t>(2 * lanes));
      for (int lane = 0; lane < lanes; ++lane) {
        const uint32_t window = ((uint32_t{high[lane]} << 16 | low[lane]) >> (16 - shift)) & 0xffff;
        const auto h = static_cast<uint16_t>(kTrellisHash * trellis_state(code_, window));
        g[lane] = static_cast<uint16_t>((uint32_t{kTrellisMix} * h) >> 16);
      }
      const TrellisPlace place = trellis_place(code_, t * code_.values);
      for (int lane = 0; lane < lanes; ++lane) {
        const int a = kTrellisTable[g[lane] % 64U], b = kTrellisTable[(g[lane] >> 8) % 64U];
        float* value = block + (lane / 2 * kTrellisTileSide + place.row) * 2 * kTrellisTileSide +
                       lane % 2 * kTrellisTileSide + place.col;
        if (code_.values == 2) {
          value[0] = scale_ * static_cast<float>(a), value[1] = scale_ * static_cast<float>(b);
        } else {
          value[0] = scale_ * static_cast<float>(a + b);
        }
      }
    }
  }

  void read_tile(int64_t i, int64_t j, uint16_t* words) const {
    const TrellisLayout::Place at = layout_.place(i, j);
    for (int e = 0; e < code_.words(); ++e) {
      std::memcpy(words + e, codes_.bytes.data() + 2 * (at.first + e * at.stride), 2);
    }
  }

  TrellisCode code_;
  TrellisLayout layout_;
  int64_t rows_, cols_;
  TensorPart codes_;
  float scale_ = 0;
};

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const TrellisStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<TrellisMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kTrellisFamily =
    family_row<TrellisStorage, parse_trellis>("trellis", is_trellis_spelling, trellis_option_names);

std::vector<std::vector<std::byte>> pack_trellis(const TrellisStorage& storage, int64_t rows, int64_t cols,
                                                 std::span<const uint16_t> tiles, float scale) {
  const TrellisLayout layout(storage.code, rows, cols);
  std::vector<std::vector<std::byte>> parts(2);
  parts[0].resize(static_cast<size_t>(2 * layout.words()));
  parts[1].resize(sizeof scale);
  std::memcpy(parts[1].data(), &scale, sizeof scale);
  const uint16_t* word = tiles.data();
  for (int64_t i = 0; i < layout.tile_rows(); ++i) {
    for (int64_t j = 0; j < layout.tile_cols(); ++j) {
      const TrellisLayout::Place at = layout.place(i, j);
      for (int e = 0; e < storage.code.words(); ++e) {
        std::memcpy(parts[0].data() + 2 * (at.first + e * at.stride), word++, 2);
      }
    }
  }
  return parts;
}

}  // namespace bitloom
