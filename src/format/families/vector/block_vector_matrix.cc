#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "format/families/vector/block_vectors.h"
#include "format/families/vector/vector_codes.h"

namespace bitloom {
namespace {

class BlockVectorMatrix final : public BaseMatrix {
 public:
  BlockVectorMatrix(const std::string& name, const BlockVectorStorage& storage, int64_t rows, int64_t cols,
                    const std::vector<TensorPart>& parts)
      : storage_(storage),
        blocks_(storage, rows, cols),
        codes_(VectorLayout(storage.codes(), rows, cols),
               checked_part(name, to_string(storage), parts, greatest_parts(storage, rows, cols)[0]).bytes.data()),
        rows_(rows),
        cols_(cols) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    const TensorPart books = checked_part(name, text, parts, want[1]);
    scales_ = from_f16(checked_part(name, text, parts, want[2]));
    if (storage.scaled != 0) {
      scale_codes_.emplace(VectorLayout(storage.scale_codes(), rows, cols),
                           checked_part(name, text, parts, want[3]).bytes.data());
      steps_ = from_f16(checked_part(name, text, parts, want[4]));
    }
    const auto size = static_cast<size_t>(storage.entries() * storage.group);
    for (const std::byte byte : books.bytes) {
      const float scale = scales_[codebooks_.size() / size];
      codebooks_.push_back(scale * static_cast<float>(static_cast<int8_t>(byte)));
    }
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    constexpr int64_t kTile = VectorLayout::kTileRows;
    const int64_t group = storage_.group, size = storage_.entries() * group;
    uint16_t codes[kTile];
    for (int64_t first = begin; first < end;) {
      const int64_t tile = first / kTile, count = std::min(end, (tile + 1) * kTile) - first;
      for (int64_t j = 0; j < codes_.layout().groups(); ++j) {
        codes_.read(tile, j, 0, first - tile * kTile, count, codes);
        const int64_t column = j * group, width = std::min(group, cols_ - column);
        for (int64_t r = 0; r < count; ++r) {
          std::copy_n(codebooks_.data() + block_of(first + r, column) * size + codes[r] * group, width,
                      out + (first + r - begin) * cols_ + column);
        }
      }
      if (scale_codes_) scale_rows(tile, first, count, out + (first - begin) * cols_);
      first += count;
    }
  }

  double nominal_bits() const override { return bitloom::nominal_bits(storage_, rows_, cols_); }

  void check_values(const std::string& name) const override {
    for (size_t i = 0; i < scales_.size(); ++i) {
      if (std::isfinite(scales_[i]) && !std::signbit(scales_[i])) continue;
      const auto across = static_cast<size_t>(blocks_.across);
      fail(ErrorKind::kUnverified, "{}.scales: [{}, {}] is {}, must be finite and not negative", name, i / across,
           i % across, scales_[i]);
    }
    for (size_t i = 0; i < steps_.size(); ++i) {
      if (steps_[i] >= 0 && steps_[i] <= kGreatestScaleStep && !std::signbit(steps_[i])) continue;
      const auto across = static_cast<size_t>(blocks_.across);
      fail(ErrorKind::kUnverified, "{}.scale_steps: [{}, {}] is {}, must be from 0 to {}", name, i / across, i % across,
           steps_[i], kGreatestScaleStep);
    }
    codes_.check_padding(name + ".codes");
    if (scale_codes_) scale_codes_->check_padding(name + ".scale_codes");
  }

 private:
  int64_t block_of(int64_t row, int64_t column) const {
    return row / blocks_.height * blocks_.across + column / blocks_.width;
  }

  /// rows [count, cols] of a tile, from row `first` on, times their scales.
  void scale_rows(int64_t tile, int64_t first, int64_t count, float* rows) const {
    uint16_t codes[VectorLayout::kTileRows];
    for (int64_t k = 0; k < scale_codes_->layout().groups(); ++k) {
      const int64_t begin = k * storage_.scaled, end = std::min(cols_, begin + storage_.scaled);
      scale_codes_->read(tile, k, 0, first - tile * VectorLayout::kTileRows, count, codes);
      LogScaleTable table;  // of the block that row r is in, where that has so many rows that it pays
      const bool has_table = blocks_.height > static_cast<int64_t>(table.size());
      for (int64_t r = 0; r < count; ++r) {
        const float step = steps_[static_cast<size_t>(block_of(first + r, begin))];
        if (has_table && (r == 0 || (first + r) % blocks_.height == 0)) table = log_scale_table(step);
        const float scale = has_table ? table[codes[r]] : log_scale(step, codes[r]);
        for (int64_t c = begin; c < end; ++c) rows[r * cols_ + c] *= scale;
      }
    }
  }

  BlockVectorStorage storage_;
  VectorBlocks blocks_;
  VectorCodes codes_;
  int64_t rows_, cols_;
  std::vector<float> codebooks_, scales_;  // codebooks times their scales, which is exact
  std::optional<VectorCodes> scale_codes_;
  std::vector<float> steps_;  // [blocks]
};

}  // namespace

float log_scale(float step, uint16_t n) {
  constexpr int kMost = (1 << BlockVectorStorage::kScaleBits) - 1;
  return static_cast<float>(std::exp2(static_cast<double>(step) * (n - kMost)));
}

LogScaleTable log_scale_table(float step) {
  LogScaleTable table;
  for (uint16_t n = 0; n < table.size(); ++n) table[n] = log_scale(step, n);
  return table;
}

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const BlockVectorStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<BlockVectorMatrix>(name, storage, rows, cols, parts);
}

std::vector<std::vector<std::byte>> pack_block_vectors(const BlockVectorStorage& storage, int64_t rows, int64_t cols,
                                                       std::span<const uint16_t> codes,
                                                       std::span<const int8_t> codebooks, std::span<const float> scales,
                                                       const LogScales& log_scales) {
  std::vector<std::vector<std::byte>> parts{pack_codes(storage.codes(), rows, cols, codes), {}, {}};
  parts[1].resize(codebooks.size());
  std::memcpy(parts[1].data(), codebooks.data(), codebooks.size());
  parts[2] = to_f16(scales);
  if (storage.scaled == 0) return parts;
  parts.push_back(pack_codes(storage.scale_codes(), rows, cols, log_scales.codes));
  parts.push_back(to_f16(log_scales.steps));
  return parts;
}

}  // namespace bitloom
