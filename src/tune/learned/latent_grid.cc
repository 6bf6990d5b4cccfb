#include "tune/learned/latent_grid.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "format/families/grid/grid_storage.h"
#include "round/scale/grid_builder.h"
#include "tune/learned/grid_levels.h"

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

/// Numbers by which a product begins: A of zeros, whose steps are relative to the weights, and B.
std::vector<LearnedPart> product_parts(const StoredMatrix& matrix, const Correction& correction) {
  const std::vector<float> w = matrix.decode_all();
  double square = 0;
  for (const float x : w) square += static_cast<double>(x) * static_cast<double>(x);
  const double mean = square / static_cast<double>(std::max<size_t>(w.size(), 1));
  Rng rng(correction.seed, correction.stream);
  std::vector<float> b(static_cast<size_t>(correction.rank * matrix.cols()));
  for (float& value : b) value = static_cast<float>(rng.normal());
  LearnedPart of_a{kCorrectionSuffixes[0], true, false,
                   std::vector<float>(static_cast<size_t>(matrix.rows() * correction.rank))};
  LearnedPart of_b{kCorrectionSuffixes[1], false, false, std::move(b)};
  of_a.is_latent = of_b.is_latent = true;
  of_a.size = mean > 0 ? std::sqrt(mean / static_cast<double>(correction.rank)) : 1;
  std::vector<LearnedPart> parts;
  parts.push_back(std::move(of_a));
  parts.push_back(std::move(of_b));
  return parts;
}

/// The product of both, and its gradients, row by row.
class Product {
 public:
  Product(int64_t rank, int64_t cols) : rank_(rank), cols_(cols) {}

  /// w [cols] += A[r] B.
  void add_row(const Parametrisation::Values& values, int64_t r, float* w) const {
    for (int64_t k = 0; k < rank_; ++k) {
      const float a = values[0][static_cast<size_t>(r * rank_ + k)], *b = values[1].data() + k * cols_;
      for (int64_t c = 0; c < cols_; ++c) w[c] += a * b[c];
    }
  }
  /// g [cols]: dL/dw of row r.
  void add_gradient(const Parametrisation::Values& values, int64_t r, const float* g,
                    const Parametrisation::Sums& sums) const {
    for (int64_t k = 0; k < rank_; ++k) {
      const double a = values[0][static_cast<size_t>(r * rank_ + k)];
      const float* b = values[1].data() + k * cols_;
      double *to = sums[1] + k * cols_, sum = 0;
      for (int64_t c = 0; c < cols_; ++c) {
        sum += static_cast<double>(g[c]) * static_cast<double>(b[c]);
        to[c] += a * static_cast<double>(g[c]);
      }
      sums[0][r * rank_ + k] += sum;
    }
  }

 private:
  int64_t rank_, cols_;
};

class LatentGrid : public Parametrisation {
 public:
  explicit LatentGrid(const StoredMatrix& matrix) : LatentGrid(matrix, latent_parts(matrix)) {}

 protected:
  /// `latent`: the parts that w comes of; scales are added to them.
  LatentGrid(const StoredMatrix& matrix, std::vector<LearnedPart> latent)
      : Parametrisation(with_scales(matrix, latent)),
        place_of_scales_(latent.size()),
        storage_(matrix.grid()->storage()),
        shape_(matrix.grid()->shape()),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        levels_(storage_.format, storage_.asymmetric) {
    for (int64_t r = 0; r < shape_.rows; ++r) {
      const RowScales row = scales_of_row(*matrix.grid(), r);
      if (!has_learned_scales(storage_)) scales_.insert(scales_.end(), row.scales.begin(), row.scales.end());
      if (storage_.asymmetric) zeros_.insert(zeros_.end(), row.zeros.begin(), row.zeros.end());
    }
  }

  /// Row r of w [cols]; `room` [cols] may be used for it.
  virtual const float* latent_row(const Values& values, int64_t r, float* /*room*/) const {
    return values[0].data() + r * cols_;
  }
  /// g [cols]: dL/dw of row r.
  virtual void add_latent_gradient(const Values& /*values*/, int64_t r, const float* g, const Sums& sums) const {
    for (int64_t c = 0; c < cols_; ++c) sums[0][r * cols_ + c] += static_cast<double>(g[c]);
  }

 public:
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
            for (int64_t c = first; c < last; ++c) row[c] = levels_.decode[codes[static_cast<size_t>(c)]];
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
    std::vector<float> u(static_cast<size_t>(cols_)), latent(u.size());
    for (int64_t i = 0; i < gradient.count; ++i) {
      const int64_t r = gradient.begin + i;
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      divide(values, r, u.data());
      for_each_group(r, [&](int64_t place, int64_t first, int64_t last, int zero) {
        const float low = levels_.low - static_cast<float>(zero), high = levels_.high - static_cast<float>(zero);
        double of_scale = 0;
        for (int64_t c = first; c < last; ++c) {
          const float x = u[static_cast<size_t>(c)];
          const bool inside = x >= low && x <= high;
          latent[static_cast<size_t>(c)] = inside ? g[c] : 0;
          of_scale += static_cast<double>(g[c]) * static_cast<double>(inside ? v_row[c] - x : v_row[c]);
        }
        if (has_learned_scales(storage_)) sums[place_of_scales_][place] += of_scale;
      });
      add_latent_gradient(values, r, latent.data(), sums);
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
        scale.stored = values[place_of_scales_][static_cast<size_t>(place)], scale.zero = zero(place);
      }
      builder.store_scales(r, row);
    }
    return builder.finish(name);
  }

 private:
  static constexpr float kLeastScale = 0x1p-24f;  // of fp16; a scale of 0 has no gradient by which it would come back

  static std::vector<LearnedPart> latent_parts(const StoredMatrix& matrix) {
    LearnedPart latent{kLatentSuffix, true, false, matrix.decode_all()};
    latent.is_latent = true;
    return {std::move(latent)};
  }

  static std::vector<LearnedPart> with_scales(const StoredMatrix& matrix, std::vector<LearnedPart> parts) {
    const GridMatrix& grid = *matrix.grid();
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
    return has_learned_scales(storage_) ? values[place_of_scales_] : scales_;
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
    const float* w = latent_row(values, r, u);
    for_each_group(r, [&](int64_t place, int64_t first, int64_t last, int) {
      const float scale = scales(values)[static_cast<size_t>(place)];
      for (int64_t c = first; c < last; ++c) u[c] = scale != 0 ? w[c] / scale : 0.0f;
    });
  }

  /// Codes [cols] of a row of u.
  void encode(int64_t r, const float* u, uint8_t* codes) const {
    if (!storage_.asymmetric) return levels_.encoder->encode(u, cols_, codes);
    const auto top = static_cast<float>(levels_.decode.size() - 1);
    for_each_group(r, [&](int64_t, int64_t first, int64_t last, int zero) {
      for (int64_t c = first; c < last; ++c) {
        codes[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(u[c]) + static_cast<float>(zero), 0.0f, top));
      }
    });
  }

  size_t place_of_scales_;  // among parts()

 protected:
  GridStorage storage_;
  ScaleShape shape_;
  int64_t rows_, cols_;
  GridLevels levels_;
  std::vector<float> scales_;   // of those that are not learned
  std::vector<uint8_t> zeros_;  // of asymmetric grids
};

class CorrectedGrid final : public LatentGrid {
 public:
  CorrectedGrid(const StoredMatrix& matrix, const RowSource& before, const Correction& correction)
      : LatentGrid(matrix, product_parts(matrix, correction)),
        product_(correction.rank, cols_),
        before_(static_cast<size_t>(rows_ * cols_)) {
    before.decode_rows(0, rows_, before_.data());
    const std::vector<float> decoded = matrix.decode_all();
    for (int64_t r = 0; r < shape_.rows; ++r) {
      const RowScales row = scales_of_row(*matrix.grid(), r);
      for (int64_t i = r * shape_.group_rows; i < std::min(rows_, (r + 1) * shape_.group_rows); ++i) {
        for (int64_t c = 0; c < cols_; ++c) {
          const auto at = static_cast<size_t>(i * cols_ + c), group = static_cast<size_t>(c / shape_.group_cols);
          before_[at] = levels_.within_code(before_[at], decoded[at], row.scales[group], row.zeros[group]);
        }
      }
    }
  }

 protected:
  const float* latent_row(const Values& values, int64_t r, float* room) const override {
    std::copy_n(before_.data() + r * cols_, cols_, room);
    product_.add_row(values, r, room);
    return room;
  }
  void add_latent_gradient(const Values& values, int64_t r, const float* g, const Sums& sums) const override {
    product_.add_gradient(values, r, g, sums);
  }

 private:
  Product product_;
  std::vector<float> before_;  // [rows, cols]
};

class CorrectedBeside final : public Parametrisation {
 public:
  CorrectedBeside(const StoredMatrix& matrix, RowSourcePtr before, const Correction& correction, RoundAnew round)
      : Parametrisation(product_parts(matrix, correction)),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        product_(correction.rank, cols_),
        decoded_(matrix.decode_all()),
        before_(std::move(before)),
        round_(std::move(round)) {}

  std::vector<float> unscaled(const Values&, ThreadPool&) const override { return decoded_; }
  void scale_row(const Values& values, int64_t r, float* row) const override { product_.add_row(values, r, row); }
  void add_gradient(const Values& values, const WeightGradient& gradient, const float*,
                    const Sums& sums) const override {
    for (int64_t i = 0; i < gradient.count; ++i) {
      product_.add_gradient(values, gradient.begin + i, gradient.g + i * cols_, sums);
    }
  }
  std::shared_ptr<const StoredMatrix> store(const std::string&, std::shared_ptr<const StoredMatrix>,
                                            const Values& values) const override {
    std::vector<float> w(static_cast<size_t>(rows_ * cols_));
    before_->decode_rows(0, rows_, w.data());
    for (int64_t r = 0; r < rows_; ++r) product_.add_row(values, r, w.data() + r * cols_);
    return round_(*dense_matrix(rows_, cols_, std::move(w)));
  }

 private:
  int64_t rows_, cols_;
  Product product_;
  std::vector<float> decoded_;  // [rows, cols]
  RowSourcePtr before_;
  RoundAnew round_;
};

}  // namespace

bool has_latent_weights(const Storage& storage) {
  return storage.base.get_if<GridStorage>() != nullptr && storage.side == SideTerms{};
}

std::unique_ptr<const Parametrisation> latent_grid(const StoredMatrix& matrix) {
  return std::make_unique<LatentGrid>(matrix);
}

std::unique_ptr<const Parametrisation> corrected_grid(const StoredMatrix& matrix, const RowSource& before,
                                                      const Correction& correction) {
  return std::make_unique<CorrectedGrid>(matrix, before, correction);
}

std::unique_ptr<const Parametrisation> corrected_beside(const StoredMatrix& matrix, RowSourcePtr before,
                                                        const Correction& correction, RoundAnew round) {
  return std::make_unique<CorrectedBeside>(matrix, std::move(before), correction, std::move(round));
}

LearnedSize correction_size(const Storage& storage, int64_t rows, int64_t cols, int64_t rank) {
  LearnedSize size = latent_size(storage, rows, cols);
  size.values += rank * (rows + cols) - rows * cols;
  // The weights in fp32, and sums of B.
  size.bytes += static_cast<int64_t>(sizeof(float)) * rows * cols +
                kGradientWave * static_cast<int64_t>(sizeof(double)) * rank * cols;
  return size;
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
