#include <algorithm>
#include <cmath>
#include <cstring>

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
    scales_.resize(static_cast<size_t>(blocks_.count()));
    decode_to_f32(DType::kF16, checked_part(name, text, parts, want[2]).bytes.data(), 0, blocks_.count(),
                  scales_.data());
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
          const int64_t block = (first + r) / blocks_.height * blocks_.across + column / blocks_.width;
          std::copy_n(codebooks_.data() + block * size + codes[r] * group, width,
                      out + (first + r - begin) * cols_ + column);
        }
      }
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
    codes_.check_padding(name);
  }

 private:
  BlockVectorStorage storage_;
  VectorBlocks blocks_;
  VectorCodes codes_;
  int64_t rows_, cols_;
  std::vector<float> codebooks_, scales_;  // codebooks times their scales, which is exact
};

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const BlockVectorStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<BlockVectorMatrix>(name, storage, rows, cols, parts);
}

std::vector<std::vector<std::byte>> pack_block_vectors(const BlockVectorStorage& storage, int64_t rows, int64_t cols,
                                                       std::span<const uint16_t> codes,
                                                       std::span<const int8_t> codebooks,
                                                       std::span<const float> scales) {
  std::vector<std::vector<std::byte>> parts{pack_codes(storage.codes(), rows, cols, codes), {}, {}};
  parts[1].resize(codebooks.size());
  std::memcpy(parts[1].data(), codebooks.data(), codebooks.size());
  parts[2].resize(2 * scales.size());
  encode_from_f32(DType::kF16, scales.data(), static_cast<int64_t>(scales.size()), parts[2].data());
  return parts;
}

}  // namespace bitloom
