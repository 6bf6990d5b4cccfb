#include "tune/parametrisation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "format/families/affine/affine_storage.h"
#include "format/families/grid/grid_storage.h"
#include "format/families/vector/vector_matrix.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 64;  // rows that are decoded together, at least

std::vector<float> read_part(const TensorPart& part) {
  std::vector<float> values(static_cast<size_t>(bytes_of(part)) / 2);
  decode_to_f32(DType::kF16, part.bytes.data(), 0, static_cast<int64_t>(values.size()), values.data());
  return values;
}

/// Parts of other values, and what holds those.
struct Exchanged {
  std::shared_ptr<const StoredMatrix> original;          // all other parts
  std::map<std::string, std::vector<std::byte>> values;  // by suffix
};

/// The matrix with `values` in place of its parts of those names, and of `storage`; parts that are empty there are
/// left out.
std::shared_ptr<const StoredMatrix> exchanged(const std::string& name, std::shared_ptr<const StoredMatrix> original,
                                              const Storage& storage,
                                              const std::map<std::string, std::vector<float>>& values) {
  const auto owner = std::make_shared<Exchanged>(Exchanged{std::move(original), {}});
  const StoredMatrix& matrix = *owner->original;
  std::vector<TensorPart> parts;
  for (TensorPart part : matrix.parts()) {
    if (const auto found = values.find(part.suffix); found != values.end()) {
      if (found->second.empty()) continue;
      std::vector<std::byte>& bytes = owner->values[part.suffix];
      bytes.resize(2 * found->second.size());
      encode_from_f32(DType::kF16, found->second.data(), static_cast<int64_t>(found->second.size()), bytes.data());
      part.dtype = DType::kF16, part.bytes = bytes;
    }
    parts.push_back(std::move(part));
  }
  return StoredMatrix::from_parts(name, storage, matrix.rows(), matrix.cols(), parts, owner);
}

class FrameScales final : public Parametrisation {
 public:
  static constexpr const char *kIn = ".in_scales", *kOut = ".out_scales";

  FrameScales(const std::string& name, const std::shared_ptr<const StoredMatrix>& matrix)
      : Parametrisation(parts_of(*matrix)), cols_(matrix->cols()) {
    Storage storage = matrix->spec();
    storage.side.frame.in_scales = storage.side.frame.out_scales = false;
    unscaled_ = exchanged(name, matrix, storage, {{kIn, {}}, {kOut, {}}});
    for (size_t i = 0; i < parts().size(); ++i) (parts()[i].suffix == kIn ? in_ : out_) = i;
  }

  std::vector<float> unscaled(const Values&, ThreadPool& threads) const override {
    return decode_dense(*unscaled_, piece_of(unscaled_.get()), threads);
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    for (int64_t c = 0; c < cols_ && in_; ++c) row[c] *= (*values[*in_])[static_cast<size_t>(c)];
    for (int64_t c = 0; c < cols_ && out_; ++c) row[c] *= (*values[*out_])[static_cast<size_t>(r)];
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    for (int64_t r = 0; r < gradient.count; ++r) {
      const float *g_row = gradient.g + r * cols_, *v_row = v + r * cols_;
      const auto place = static_cast<size_t>(gradient.begin + r);
      const double scale = out_ ? (*values[*out_])[place] : 1;
      double sum = 0;
      for (int64_t c = 0; c < cols_; ++c) {
        const double product = static_cast<double>(g_row[c]) * static_cast<double>(v_row[c]);
        sum += product * (in_ ? (*values[*in_])[static_cast<size_t>(c)] : 1);
        if (in_) sums[*in_][c] += product * scale;
      }
      if (out_) sums[*out_][place] += sum;
    }
  }

 private:
  static std::vector<LearnedPart> parts_of(const StoredMatrix& matrix) {
    std::vector<LearnedPart> parts;
    for (const char* suffix : {kIn, kOut}) {
      if (const TensorPart* part = matrix.find_part(suffix)) {
        parts.push_back({suffix, std::string_view(suffix) == kOut, false, read_part(*part)});
      }
    }
    return parts;
  }

  int64_t cols_;
  std::optional<size_t> in_, out_;  // places in parts()
  std::shared_ptr<const StoredMatrix> unscaled_;
};

class AdditiveCodebooks final : public Parametrisation {
 public:
  explicit AdditiveCodebooks(const StoredMatrix& matrix)
      : Parametrisation({{".codebooks", false, false, read_part(*matrix.find_part(".codebooks"))},
                         {".scales", true, true, read_part(*matrix.find_part(".scales"))}}),
        storage_(matrix.spec().base.get<VectorStorage>()),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        groups_((cols_ + storage_.group - 1) / storage_.group),
        codes_(unpack_codes(storage_, rows_, cols_, matrix.find_part(".codes")->bytes)) {}

  std::vector<float> unscaled(const Values& values, ThreadPool& threads) const override {
    std::vector<float> v(static_cast<size_t>(rows_ * cols_));
    const float* books = values[kBooks]->data();
    threads.parallel_for((rows_ + kPiece - 1) / kPiece, [&](int64_t piece) {
      for (int64_t r = piece * kPiece; r < std::min(rows_, (piece + 1) * kPiece); ++r) {
        for_each_vector(r, [&](int64_t entry, int64_t first, int64_t width) {
          float* out = v.data() + r * cols_ + first;
          for (int64_t c = 0; c < width; ++c) out[c] += books[entry + c];
        });
      }
    });
    return v;
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    const float scale = (*values[kScales])[static_cast<size_t>(r)];
    for (int64_t c = 0; c < cols_; ++c) row[c] *= scale;
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    for (int64_t i = 0; i < gradient.count; ++i) {
      const int64_t r = gradient.begin + i;
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      const double scale = (*values[kScales])[static_cast<size_t>(r)];
      double sum = 0;
      for (int64_t c = 0; c < cols_; ++c) sum += static_cast<double>(g[c]) * static_cast<double>(v_row[c]);
      sums[kScales][r] += sum;
      for_each_vector(r, [&](int64_t entry, int64_t first, int64_t width) {
        double* to = sums[kBooks] + entry;
        for (int64_t c = 0; c < width; ++c) to[c] += scale * static_cast<double>(g[first + c]);
      });
    }
  }

 private:
  static constexpr size_t kBooks = 0, kScales = 1;

  /// f(where its vector begins in the codebooks, first column, columns) for each code of a row.
  template <class F>
  void for_each_vector(int64_t r, const F& f) const {
    const uint16_t* code = codes_.data() + r * groups_ * storage_.codebooks;
    for (int64_t j = 0; j < groups_; ++j) {
      const int64_t first = j * storage_.group, width = std::min(storage_.group, cols_ - first);
      for (int64_t m = 0; m < storage_.codebooks; ++m, ++code) {
        f((m * storage_.entries() + *code) * storage_.group, first, width);
      }
    }
  }

  VectorStorage storage_;
  int64_t rows_, cols_, groups_;
  std::vector<uint16_t> codes_;  // [rows, groups, M]
};

class GroupScales final : public Parametrisation {
 public:
  GroupScales(const std::string& name, const std::shared_ptr<const StoredMatrix>& matrix, const ScaleShape& shape,
              bool not_negative)
      : Parametrisation({{".scales", shape.group_rows == 1, not_negative, read_part(*matrix->find_part(".scales"))}}),
        shape_(shape),
        cols_(matrix->cols()),
        unscaled_(exchanged(name, matrix, matrix->spec(),
                            {{".scales", std::vector<float>(parts()[0].start.size(), 1.0f)}})) {}

  std::vector<float> unscaled(const Values&, ThreadPool& threads) const override {
    return decode_dense(*unscaled_, kPiece, threads);
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    const float* scales = values[0]->data() + first_of(r);
    for (int64_t c = 0; c < cols_; ++c) row[c] *= scales[c / shape_.group_cols];
  }

  void add_gradient(const Values&, const WeightGradient& gradient, const float* v, const Sums& sums) const override {
    for (int64_t i = 0; i < gradient.count; ++i) {
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      double* to = sums[0] + first_of(gradient.begin + i);
      for (int64_t c = 0; c < cols_; ++c) {
        to[c / shape_.group_cols] += static_cast<double>(g[c]) * static_cast<double>(v_row[c]);
      }
    }
  }

 private:
  int64_t first_of(int64_t r) const { return r / shape_.group_rows * shape_.cols; }

  ScaleShape shape_;
  int64_t cols_;
  std::shared_ptr<const StoredMatrix> unscaled_;
};

/// What of a storage is learned.
enum class Kind { kNothing, kFrame, kCodebooks, kGroupScales };

Kind kind_of(const Storage& storage, Learned what) {
  const FrameStorage& frame = storage.side.frame;
  if (frame.in_scales || frame.out_scales) return Kind::kFrame;
  if (what == Learned::kFrames || storage.side != SideTerms{}) return Kind::kNothing;
  if (storage.base.get_if<VectorStorage>() != nullptr) return Kind::kCodebooks;
  const auto* grid = storage.base.get_if<GridStorage>();
  const auto* affine = storage.base.get_if<AffineStorage>();
  const bool scales_are_numbers =
      (grid != nullptr && grid->scale == ScaleType::kF16) || (affine != nullptr && affine->second_bits == 0);
  return scales_are_numbers ? Kind::kGroupScales : Kind::kNothing;
}

ScaleShape shape_of_scales(const Storage& storage, int64_t rows, int64_t cols) {
  if (const auto* grid = storage.base.get_if<GridStorage>()) return scale_shape(*grid, rows, cols);
  const auto& affine = storage.base.get<AffineStorage>();
  return {rows, affine.groups(cols), 1, affine.width(cols)};
}

bool may_be_negative(const Storage& storage) {
  const auto* grid = storage.base.get_if<GridStorage>();
  return grid != nullptr && allows_negative_scales(*grid);
}

}  // namespace

std::unique_ptr<const Parametrisation> parametrise(const std::string& name,
                                                   const std::shared_ptr<const StoredMatrix>& matrix, Learned what) {
  const Storage& storage = matrix->spec();
  switch (kind_of(storage, what)) {
    case Kind::kNothing:
      return nullptr;
    case Kind::kFrame:
      return std::make_unique<FrameScales>(name, matrix);
    case Kind::kCodebooks:
      return std::make_unique<AdditiveCodebooks>(*matrix);
    case Kind::kGroupScales:
      return std::make_unique<GroupScales>(name, matrix, shape_of_scales(storage, matrix->rows(), matrix->cols()),
                                           !may_be_negative(storage));
  }
  return nullptr;
}

LearnedSize learned_size(const Storage& storage, int64_t rows, int64_t cols, Learned what) {
  constexpr int64_t kSum = kGradientWave * static_cast<int64_t>(sizeof(double));  // of a value that all rows add to
  switch (kind_of(storage, what)) {
    case Kind::kNothing:
      return {};
    case Kind::kFrame: {
      const FrameStorage& frame = storage.side.frame;
      const int64_t in = frame.in_scales ? cols : 0;
      return {in + (frame.out_scales ? rows : 0), kSum * in};
    }
    case Kind::kCodebooks: {
      const auto& vectors = storage.base.get<VectorStorage>();
      const int64_t books = vectors.codebooks * vectors.entries() * vectors.group;
      const int64_t codes = rows * ((cols + vectors.group - 1) / vectors.group) * vectors.codebooks;
      return {books + rows, 2 * codes + kSum * books};
    }
    case Kind::kGroupScales: {
      const ScaleShape shape = shape_of_scales(storage, rows, cols);
      return {shape.rows * shape.cols, shape.group_rows == 1 ? 0 : kSum * shape.rows * shape.cols};
    }
  }
  return {};
}

std::shared_ptr<const StoredMatrix> with_parts(const std::string& name, std::shared_ptr<const StoredMatrix> matrix,
                                               const std::vector<LearnedPart>& parts,
                                               const Parametrisation::Values& values) {
  std::map<std::string, std::vector<float>> by_suffix;
  for (size_t i = 0; i < parts.size(); ++i) by_suffix[parts[i].suffix] = *values[i];
  const Storage storage = matrix->spec();
  return exchanged(name, std::move(matrix), storage, by_suffix);
}

int64_t piece_of(const StoredMatrix* matrix) {
  const FrameStorage frame = matrix != nullptr ? matrix->spec().side.frame : FrameStorage{};
  return std::max(kPiece, frame.out_block > 0 ? out_rotation(frame, matrix->rows()).block() : 1);
}

std::vector<float> decode_dense(const RowSource& rows, int64_t piece, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(rows.rows() * rows.cols()));
  threads.parallel_for((rows.rows() + piece - 1) / piece, [&](int64_t i) {
    rows.decode_rows(i * piece, std::min(rows.rows(), (i + 1) * piece), values.data() + i * piece * rows.cols());
  });
  return values;
}

}  // namespace bitloom
