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
    constexpr int64_t kSide = kTrellisTileSide;
    std::vector<uint16_t> words(static_cast<size_t>(code_.words()));
    int16_t values[kTrellisTile];
    for (int64_t i = begin / kSide; i * kSide < end; ++i) {
      for (int64_t j = 0; j * kSide < cols_; ++j) {
        read_tile(i, j, words.data());
        decode_trellis_tile(code_, words.data(), 1, values);
        for (int v = 0; v < kTrellisTile; ++v) {
          const TrellisPlace at = trellis_place(code_, v);
          const int64_t r = i * kSide + at.row, c = j * kSide + at.col;
          if (r < begin || r >= end || c >= cols_) continue;
          out[(r - begin) * cols_ + c] = scale_ * static_cast<float>(values[v]);
        }
      }
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
