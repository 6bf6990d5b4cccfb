#include "format/families/vector/vector_matrix.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/families/vector/vector_codes.h"

namespace bitloom {
namespace {

class VectorMatrix final : public BaseMatrix {
 public:
  VectorMatrix(const std::string& name, const VectorStorage& storage, int64_t rows, int64_t cols,
               const std::vector<TensorPart>& parts)
      : storage_(storage),
        codes_(VectorLayout(storage, rows, cols),
               checked_part(name, to_string(storage), parts, greatest_parts(storage, rows, cols)[0]).bytes.data()),
        rows_(rows),
        cols_(cols) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    codebooks_ = from_f16(checked_part(name, text, parts, want[1]));
    scales_ = from_f16(checked_part(name, text, parts, want[2]));
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    constexpr int64_t kTile = VectorLayout::kTileRows;
    uint16_t codes[kTile];
    for (int64_t first = begin; first < end;) {
      const int64_t tile = first / kTile, last = std::min(end, (tile + 1) * kTile), count = last - first;
      float* rows = out + (first - begin) * cols_;
      for (int64_t j = 0; j < codes_.layout().groups(); ++j) {
        for (int64_t m = 0; m < storage_.codebooks; ++m) {
          codes_.read(tile, j, m, first - tile * kTile, count, codes);
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
    codes_.check_padding(name + ".codes");
  }

 private:
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

  VectorStorage storage_;
  VectorCodes codes_;
  int64_t rows_, cols_;
  std::vector<float> codebooks_, scales_;
};

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
  return {pack_codes(storage, rows, cols, codes), to_f16(codebooks), to_f16(scales)};
}

}  // namespace bitloom
