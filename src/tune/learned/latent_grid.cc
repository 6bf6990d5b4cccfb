#include "tune/learned/latent_grid.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "format/families/grid/grid_storage.h"
#include "round/scale/grid_builder.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 64;  // rows that a thread rounds at a time

bool has_learned_scales(const GridStorage& storage) { return storage.scale == ScaleType::kF16; }

/// What a row of scales of a grid is, and its zero points.
struct RowScales {
  std::vector<float> scales;
  std::vector<uint8_t> zeros;
};

RowScales scales_of_row(const GridMatrix& grid, int64_t scale_row) {
  const auto count = static_cast<size_t>(grid.shape().cols);
  RowScales row{std::vector<float>(count), std::vector<uint8_t>(count)};
  grid.scales_of_row(scale_row, row.scales.data(), row.zeros.data());
  return row;
}

class LatentGrid final : public Parametrisation {
 public:
  explicit LatentGrid(const StoredMatrix& matrix)
      : Parametrisation(parts_of(matrix)),
        storage_(matrix.grid()->storage()),
        shape_(matrix.grid()->shape()),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        encoder_(make_encoder(storage_.format, Ties::kEven)) {
    const Grid grid = grid_of(storage_.format);
    const std::vector<float>& levels = grid.levels;
    decode_ = grid.decode;
    low_ = levels[0] - (levels[1] - levels[0]) / 2;
    high_ = levels.back() + (levels.back() - levels[levels.size() - 2]) / 2;
    if (storage_.asymmetric) low_ = -0.5f, high_ = static_cast<float>(decode_.size()) - 0.5f;
    for (int64_t r = 0; r < shape_.rows; ++r) {
      const RowScales row = scales_of_row(*matrix.grid(), r);
      if (!has_learned_scales(storage_)) scales_.insert(scales_.end(), row.scales.begin(), row.scales.end());
      if (storage_.asymmetric) zeros_.insert(zeros_.end(), row.zeros.begin(), row.zeros.end());
    }
  }

  std::vector<float> unscaled(const Values& values, ThreadPool& threads) const override {
    std::vector<float> v(static_cast<size_t>(rows_ * cols_));
    threads.parallel_for((rows_ + kPiece - 1) / kPiece, [&](int64_t piece) {
      std::vector<uint8_t> codes(static_cast<size_t>(cols_));
      for (int64_t r = piece * kPiece; r < std::min(rows_, (piece + 1) * kPiece); ++r) {
        float* row = v.data() + r * cols_;
        divide(values, r, row);
        encode(r, row, codes.data());
        for_each_group(r, [&](int64_t, int64_t first, int64_t last, int zero) {
          if (storage_.asymmetric) {
            for (int64_t c = first; c < last; ++c) row[c] = static_cast<float>(codes[static_cast<size_t>(c)] - zero);
          } else {
            for (int64_t c = first; c < last; ++c) row[c] = decode_[codes[static_cast<size_t>(c)]];
          }
        });
      }
    });
    return v;
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    for_each_group(r, [&](int64_t place, int64_t first, int64_t last, int) {
      const float scale = scales(values)[static_cast<size_t>(place)];
      for (int64_t c = first; c < last; ++c) row[c] *= scale;
    });
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    std::vector<float> u(static_cast<size_t>(cols_));
    for (int64_t i = 0; i < gradient.count; ++i) {
      const int64_t r = gradient.begin + i;
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      double* latent = sums[kLatent] + r * cols_;
      divide(values, r, u.data());
      for_each_group(r, [&](int64_t place, int64_t first, int64_t last, int zero) {
        const float low = low_ - static_cast<float>(zero), high = high_ - static_cast<float>(zero);
        double of_scale = 0;
        for (int64_t c = first; c < last; ++c) {
          const float x = u[static_cast<size_t>(c)];
          const bool inside = x >= low && x <= high;
          latent[c] += inside ? g[c] : 0;
          of_scale += static_cast<double>(g[c]) * static_cast<double>(inside ? v_row[c] - x : v_row[c]);
        }
        if (has_learned_scales(storage_)) sums[kScales][place] += of_scale;
      });
    }
  }

  std::shared_ptr<const StoredMatrix> store(const std::string& name, std::shared_ptr<const StoredMatrix> matrix,
                                            const Values& values) const override {
    GridBuilder builder(*matrix);
    std::vector<float> u(static_cast<size_t>(cols_));
    std::vector<uint8_t> codes(static_cast<size_t>(cols_));
    for (int64_t r = 0; r < rows_; ++r) {
      divide(values, r, u.data());
      encode(r, u.data(), codes.data());
      builder.store_codes(r, codes.data());
    }
    for (int64_t r = 0; r < shape_.rows && has_learned_scales(storage_); ++r) {
      std::vector<GroupScale> row;
      for (int64_t place = r * shape_.cols; place < (r + 1) * shape_.cols; ++place) {
        GroupScale& scale = row.emplace_back();
        scale.stored = values[kScales][static_cast<size_t>(place)], scale.zero = zero(place);
      }
      builder.store_scales(r, row);
    }
    return builder.finish(name);
  }

 private:
  static constexpr size_t kLatent = 0, kScales = 1;
  static constexpr float kLeastScale = 0x1p-24f;  // of fp16; a scale of 0 has no gradient by which it would come back

  static std::vector<LearnedPart> parts_of(const StoredMatrix& matrix) {
    const GridMatrix& grid = *matrix.grid();
    LearnedPart latent{kLatentSuffix, true, false, matrix.decode_all()};
    latent.is_latent = true;
    std::vector<LearnedPart> parts = {std::move(latent)};
    if (!has_learned_scales(grid.storage())) return parts;
    LearnedPart scales{".scales", grid.shape().group_rows == 1, !allows_negative_scales(grid.storage()), {}};
    scales.least = kLeastScale;
    for (int64_t r = 0; r < grid.shape().rows; ++r) {
      const RowScales row = scales_of_row(grid, r);
      scales.start.insert(scales.start.end(), row.scales.begin(), row.scales.end());
    }
    parts.push_back(std::move(scales));
    return parts;
  }

  const std::vector<float>& scales(const Values& values) const {
    return has_learned_scales(storage_) ? values[kScales] : scales_;
  }
  uint8_t zero(int64_t place) const { return storage_.asymmetric ? zeros_[static_cast<size_t>(place)] : uint8_t{0}; }

  /// f(place of the scale, first column, behind the last, zero point) for each group of a row.
  template <class F>
  void for_each_group(int64_t r, const F& f) const {
    const int64_t first = r / shape_.group_rows * shape_.cols;
    for (int64_t g = 0; g < shape_.cols; ++g) {
      f(first + g, g * shape_.group_cols, std::min(cols_, (g + 1) * shape_.group_cols), zero(first + g));
    }
  }

  /// Row r of u [cols]; 0 where the scale is.
  void divide(const Values& values, int64_t r, float* u) const {
    const float* w = values[kLatent].data() + r * cols_;
    for_each_group(r, [&](int64_t place, int64_t first, int64_t last, int) {
      const float scale = scales(values)[static_cast<size_t>(place)];
      for (int64_t c = first; c < last; ++c) u[c] = scale != 0 ? w[c] / scale : 0.0f;
    });
  }

  /// Codes [cols] of a row of u.
  void encode(int64_t r, const float* u, uint8_t* codes) const {
    if (!storage_.asymmetric) return encoder_->encode(u, cols_, codes);
    const auto top = static_cast<float>(decode_.size() - 1);
    for_each_group(r, [&](int64_t, int64_t first, int64_t last, int zero) {
      for (int64_t c = first; c < last; ++c) {
        codes[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(u[c]) + static_cast<float>(zero), 0.0f, top));
      }
    });
  }

  GridStorage storage_;
  ScaleShape shape_;
  int64_t rows_, cols_;
  std::unique_ptr<const ArrayEncoder> encoder_;
  std::vector<float> decode_;   // by code
  float low_, high_;            // of u, half a step beyond the outermost levels; of asymmetric grids, of codes
  std::vector<float> scales_;   // of those that are not learned
  std::vector<uint8_t> zeros_;  // of asymmetric grids
};

}  // namespace

bool has_latent_weights(const Storage& storage) {
  return storage.base.get_if<GridStorage>() != nullptr && storage.side == SideTerms{};
}

std::unique_ptr<const Parametrisation> latent_grid(const StoredMatrix& matrix) {
  return std::make_unique<LatentGrid>(matrix);
}

LearnedSize latent_size(const Storage& storage, int64_t rows, int64_t cols) {
  constexpr auto kSum = kGradientWave * static_cast<int64_t>(sizeof(double));  // of a value that all rows add to
  const auto& grid = storage.base.get<GridStorage>();
  const ScaleShape shape = scale_shape(grid, rows, cols);
  const int64_t scales = shape.rows * shape.cols;
  LearnedSize size{rows * cols, grid.asymmetric ? scales : 0};
  if (!has_learned_scales(grid)) {
    size.bytes += static_cast<int64_t>(sizeof(float)) * scales;
  } else {
    size.values += scales;
    size.bytes += shape.group_rows == 1 ? 0 : kSum * scales;
  }
  size.rounded = rows * cols;
  return size;
}

}  // namespace bitloom
