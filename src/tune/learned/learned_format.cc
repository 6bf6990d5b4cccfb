#include "tune/learned/learned_format.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "format/families/grid/grid_storage.h"
#include "round/fpq/candidates.h"
#include "round/scale/grid_builder.h"
#include "tune/learned/grid_levels.h"
#include "tune/learned/latent_grid.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 64;  // rows that a thread rounds at a time
constexpr float kLeastRange = 0x1p-100f;
constexpr size_t kLatent = 0, kRange = 1, kMantissa = 2;  // places in parts()

/// One way to split the bits.
struct Split {
  MinifloatFormat format;
  ScaleType scale;
  GridLevels levels;
  float most;      // the greatest level
  float one_step;  // below it steps are those of subnormals: p = 1
};

/// By mantissa bits, the fewest first.
std::vector<Split> splits_of(const GridStorage& storage) {
  std::vector<Split> splits;
  for (const MinifloatFormat& format : formats_of_bits(bits_of(storage.format))) {
    const ScaleType scale = with_format(storage, format).scale;
    splits.push_back({format, scale, GridLevels(format), max_value(format), std::ldexp(1.0f, 2 - format.bias)});
  }
  std::reverse(splits.begin(), splits.end());
  return splits;
}

std::vector<float> ranges_of(const StoredMatrix& matrix) {
  const GridMatrix& grid = *matrix.grid();
  const float most = max_value(std::get<MinifloatFormat>(grid.storage().format));
  const auto count = static_cast<size_t>(grid.shape().cols);
  std::vector<float> ranges, scales(count);
  std::vector<uint8_t> zeros(count);
  for (int64_t r = 0; r < grid.shape().rows; ++r) {
    grid.scales_of_row(r, scales.data(), zeros.data());
    for (const float scale : scales) ranges.push_back(scale * most);
  }
  return ranges;
}

/// log2 of the step at p = 1 of a group whose range is 1, at a real M, and its derivative K(M).
struct LeastStep {
  double log2, slope;
};
LeastStep least_step(int bits, double mantissa) {
  const double binades = std::exp2(bits - 1 - mantissa), unit = std::exp2(-mantissa);
  return {2 - mantissa - binades - std::log2(2 - unit), -1 + M_LN2 * binades - unit / (2 - unit)};
}

class LearnedFormat final : public Parametrisation {
 public:
  LearnedFormat(const StoredMatrix& matrix, const RowSource& before, FormatGradient gradient)
      : Parametrisation(parts_of(matrix, before)),
        gradient_(gradient),
        storage_(matrix.grid()->storage()),
        shape_(matrix.grid()->shape()),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        bits_(bits_of(storage_.format)),
        splits_(splits_of(storage_)) {}

  std::vector<float> unscaled(const Values& values, ThreadPool& threads) const override {
    const Split& split = split_of(values);
    std::vector<float> v(static_cast<size_t>(rows_ * cols_));
    threads.parallel_for((rows_ + kPiece - 1) / kPiece, [&](int64_t piece) {
      for (int64_t r = piece * kPiece; r < std::min(rows_, (piece + 1) * kPiece); ++r) {
        float* row = v.data() + r * cols_;
        divide(values, r, row);
        split.levels.encoder->snap(row, cols_, row);
      }
    });
    return v;
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    for_each_group(values, r, [&](int64_t, int64_t first, int64_t last, float scale) {
      for (int64_t c = first; c < last; ++c) row[c] *= scale;
    });
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    const Split& split = split_of(values);
    const Slopes slopes = slopes_of(values);
    std::vector<float> u(static_cast<size_t>(cols_));
    for (int64_t i = 0; i < gradient.count; ++i) {
      const int64_t r = gradient.begin + i;
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      divide(values, r, u.data());
      for_each_group(values, r, [&](int64_t place, int64_t first, int64_t last, float scale) {
        double one_step = 0, binades = 0, beyond = 0;  // sums of G (W - w) / s, and of G sign w
        for (int64_t c = first; c < last; ++c) {
          const float x = u[static_cast<size_t>(c)], size = std::abs(x);
          if (x >= split.levels.low && x <= split.levels.high)
            sums[kLatent][r * cols_ + c] += static_cast<double>(g[c]);
          const double moved = static_cast<double>(g[c]) * static_cast<double>(v_row[c] - x);
          if (size > split.most) {
            beyond += static_cast<double>(std::copysign(g[c], g[c] * x));
          } else if (size < split.one_step) {
            one_step += moved;
          } else {
            binades += moved;
          }
        }
        const double s = scale, of_range = one_step + (is_papers() ? binades : 0);
        sums[kMantissa][0] += s * (slopes.one_step * one_step + slopes.binades * binades);
        sums[kRange][place] += of_range / static_cast<double>(split.most) + beyond;
      });
    }
  }

  void settle(const std::vector<std::vector<float>*>& values, int64_t step, int64_t steps) const override {
    float &mantissa = (*values[kMantissa])[0], &mean = (*values[kMantissa])[1];
    mantissa = std::clamp(mantissa, fewest() - 0.5f, most() + 0.5f);
    if (is_papers()) return;
    const int64_t from = steps / 2, to = 3 * steps / 4;
    if (step <= from) {
      mean = rounded(mantissa);
    } else if (step <= to) {
      mean += (rounded(mantissa) - mean) / static_cast<float>(step - from);
    }
    if (step >= to) mantissa = rounded(mean);
  }

  std::shared_ptr<const StoredMatrix> store(const std::string& name, std::shared_ptr<const StoredMatrix>,
                                            const Values& values) const override {
    const Split& split = split_of(values);
    GridBuilder builder(with_format(storage_, split.format), rows_, cols_);
    std::vector<float> u(static_cast<size_t>(cols_));
    std::vector<uint8_t> codes(static_cast<size_t>(cols_));
    for (int64_t r = 0; r < rows_; ++r) {
      divide(values, r, u.data());
      split.levels.encoder->encode(u.data(), cols_, codes.data());
      builder.store_codes(r, codes.data());
      if (r % shape_.group_rows != 0) continue;
      std::vector<GroupScale> scales;
      for_each_group(values, r, [&](int64_t, int64_t, int64_t, float scale) { scales.emplace_back().stored = scale; });
      builder.store_scales(r / shape_.group_rows, scales);
    }
    return builder.finish(name);
  }

 private:
  /// What dL/dM has of each sum of G (W - w).
  struct Slopes {
    double one_step, binades;
  };

  static std::vector<LearnedPart> parts_of(const StoredMatrix& matrix, const RowSource& before) {
    const GridMatrix& grid = *matrix.grid();
    const auto& format = std::get<MinifloatFormat>(grid.storage().format);
    const auto mantissa = static_cast<float>(format.mantissa);
    LearnedPart latent{kLatentSuffix, true, false, latent_of(matrix, before)};
    LearnedPart range{kRangeSuffix, grid.shape().group_rows == 1, false, ranges_of(matrix)};
    LearnedPart split{kMantissaSuffix, false, false, {mantissa, mantissa}};
    split.size = 1;
    std::vector<LearnedPart> parts;
    for (LearnedPart* part : {&latent, &range, &split}) {
      part->is_latent = true;
      parts.push_back(std::move(*part));
    }
    return parts;
  }

  static std::vector<float> latent_of(const StoredMatrix& matrix, const RowSource& before) {
    const GridMatrix& grid = *matrix.grid();
    const ScaleShape& shape = grid.shape();
    const GridLevels levels(grid.storage().format);
    const auto cols = static_cast<size_t>(matrix.cols());
    std::vector<float> latent = before.decode_all(), scales(static_cast<size_t>(shape.cols));
    std::vector<uint8_t> zeros(scales.size());
    const std::vector<float> decoded = matrix.decode_all();
    for (size_t i = 0; i < latent.size(); ++i) {
      const auto r = static_cast<int64_t>(i / cols), c = static_cast<int64_t>(i % cols);
      if (c == 0) grid.scales_of_row(r / shape.group_rows, scales.data(), zeros.data());
      latent[i] = levels.within_code(latent[i], decoded[i], scales[static_cast<size_t>(c / shape.group_cols)]);
    }
    return latent;
  }

  bool is_papers() const { return gradient_ == FormatGradient::kPaper; }
  float fewest() const { return static_cast<float>(splits_[0].format.mantissa); }
  float most() const { return static_cast<float>(splits_.back().format.mantissa); }
  float rounded(float mantissa) const { return std::clamp(std::nearbyint(mantissa), fewest(), most()); }
  const Split& split_of(const Values& values) const {
    return splits_[static_cast<size_t>(rounded(values[kMantissa][0]) - fewest())];
  }

  Slopes slopes_of(const Values& values) const {
    const double learned = values[kMantissa][0], used = rounded(values[kMantissa][0]);
    if (is_papers()) return {M_LN2 * least_step(bits_, used).slope, M_LN2 * least_step(bits_, used).slope};
    const LeastStep at = least_step(bits_, learned);
    return {M_LN2 * at.slope * std::exp2(at.log2 - least_step(bits_, used).log2), -M_LN2 * std::exp2(used - learned)};
  }

  /// f(place of the range, first column, behind the last, scale as stored) for each group of a row.
  template <class F>
  void for_each_group(const Values& values, int64_t r, const F& f) const {
    const Split& split = split_of(values);
    const int64_t first = r / shape_.group_rows * shape_.cols;
    for (int64_t g = 0; g < shape_.cols; ++g) {
      const float range = std::max(values[kRange][static_cast<size_t>(first + g)], kLeastRange);
      f(first + g, g * shape_.group_cols, std::min(cols_, (g + 1) * shape_.group_cols),
        round_scale(split.scale, range / split.most, split.most));
    }
  }

  /// Row r of u = w / scale [cols].
  void divide(const Values& values, int64_t r, float* u) const {
    const float* w = values[kLatent].data() + r * cols_;
    for_each_group(values, r, [&](int64_t, int64_t first, int64_t last, float scale) {
      for (int64_t c = first; c < last; ++c) u[c] = w[c] / scale;
    });
  }

  FormatGradient gradient_;
  GridStorage storage_;
  ScaleShape shape_;
  int64_t rows_, cols_;
  int bits_;
  std::vector<Split> splits_;
};

}  // namespace

bool has_learned_format(const Storage& storage) {
  const auto* grid = storage.base.get_if<GridStorage>();
  if (grid == nullptr || storage.side != SideTerms{}) return false;
  const auto* format = std::get_if<MinifloatFormat>(&grid->format);
  if (format == nullptr || (grid->scale != ScaleType::kF16 && grid->scale != ScaleType::kBF16)) return false;
  const std::vector<MinifloatFormat> formats = formats_of_bits(bits_of(*format));
  return std::find(formats.begin(), formats.end(), *format) != formats.end();
}

std::unique_ptr<const Parametrisation> learned_format(const StoredMatrix& matrix, const RowSource& before,
                                                      FormatGradient gradient) {
  return std::make_unique<LearnedFormat>(matrix, before, gradient);
}

LearnedSize learned_format_size(const Storage& storage, int64_t rows, int64_t cols) {
  constexpr auto kSum = kGradientWave * static_cast<int64_t>(sizeof(double));  // of a value that all rows add to
  const ScaleShape shape = scale_shape(storage.base.get<GridStorage>(), rows, cols);
  const int64_t ranges = shape.rows * shape.cols;
  LearnedSize size{rows * cols + ranges + 2, shape.group_rows == 1 ? 0 : kSum * ranges};
  size.rounded = rows * cols;
  return size;
}

}  // namespace bitloom
