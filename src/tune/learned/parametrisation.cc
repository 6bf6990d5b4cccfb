#include "tune/learned/parametrisation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/memory/dense_matrix.h"
#include "format/families/affine/affine_storage.h"
#include "format/families/grid/grid_storage.h"
#include "format/families/vector/vector_matrix.h"
#include "round/nearest/nearest.h"
#include "round/round_matrix.h"
#include "round/vector/search/code_search.h"
#include "tune/learned/latent_grid.h"
#include "tune/learned/learned_format.h"

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

/// The matrix with `values` in place of its parts of those names, as fp16, and `other_bytes` in place of others, and of
/// `storage`; parts that are empty in `values` are left out.
std::shared_ptr<const StoredMatrix> exchanged(const std::string& name, std::shared_ptr<const StoredMatrix> original,
                                              const Storage& storage,
                                              const std::map<std::string, std::vector<float>>& values,
                                              std::map<std::string, std::vector<std::byte>> other_bytes = {}) {
  const auto owner = std::make_shared<Exchanged>(Exchanged{std::move(original), std::move(other_bytes)});
  const StoredMatrix& matrix = *owner->original;
  std::vector<TensorPart> parts;
  for (TensorPart part : matrix.parts()) {
    if (const auto found = values.find(part.suffix); found != values.end()) {
      if (found->second.empty()) continue;
      std::vector<std::byte>& bytes = owner->values[part.suffix];
      bytes.resize(2 * found->second.size());
      encode_from_f32(DType::kF16, found->second.data(), static_cast<int64_t>(found->second.size()), bytes.data());
      part.dtype = DType::kF16, part.bytes = bytes;
    } else if (const auto other = owner->values.find(part.suffix); other != owner->values.end()) {
      part.bytes = other->second;
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
    return decode_dense(*unscaled_, piece_of(*unscaled_), threads);
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    for (int64_t c = 0; c < cols_ && in_; ++c) row[c] *= values[*in_][static_cast<size_t>(c)];
    for (int64_t c = 0; c < cols_ && out_; ++c) row[c] *= values[*out_][static_cast<size_t>(r)];
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    for (int64_t r = 0; r < gradient.count; ++r) {
      const float *g_row = gradient.g + r * cols_, *v_row = v + r * cols_;
      const auto place = static_cast<size_t>(gradient.begin + r);
      const double scale = out_ ? values[*out_][place] : 1;
      double sum = 0;
      for (int64_t c = 0; c < cols_; ++c) {
        const double product = static_cast<double>(g_row[c]) * static_cast<double>(v_row[c]);
        sum += product * (in_ ? values[*in_][static_cast<size_t>(c)] : 1);
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
  AdditiveCodebooks(const StoredMatrix& matrix, Learned what)
      : Parametrisation({{".codebooks", false, false, read_part(*matrix.find_part(".codebooks"))},
                         {".scales", true, true, read_part(*matrix.find_part(".scales"))}}),
        storage_(matrix.spec().base.get<VectorStorage>()),
        rows_(matrix.rows()),
        cols_(matrix.cols()),
        groups_((cols_ + storage_.group - 1) / storage_.group),
        codes_are_learned_(what == Learned::kAllAndCodes),
        codes_(unpack_codes(storage_, rows_, cols_, matrix.find_part(".codes")->bytes)) {}

  std::vector<float> unscaled(const Values& values, ThreadPool& threads) const override {
    std::vector<float> v(static_cast<size_t>(rows_ * cols_));
    const float* books = values[kBooks].data();
    threads.parallel_for((rows_ + kPiece - 1) / kPiece, [&](int64_t piece) {
      for (int64_t r = piece * kPiece; r < std::min(rows_, (piece + 1) * kPiece); ++r) {
        for_each_vector(values, r, [&](int64_t entry, int64_t first, int64_t width) {
          float* out = v.data() + r * cols_ + first;
          for (int64_t c = 0; c < width; ++c) out[c] += books[entry + c];
        });
      }
    });
    return v;
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    const float scale = values[kScales][static_cast<size_t>(r)];
    for (int64_t c = 0; c < cols_; ++c) row[c] *= scale;
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    for (int64_t i = 0; i < gradient.count; ++i) {
      const int64_t r = gradient.begin + i;
      const float *g = gradient.g + i * cols_, *v_row = v + i * cols_;
      const double scale = values[kScales][static_cast<size_t>(r)];
      double sum = 0;
      for (int64_t c = 0; c < cols_; ++c) sum += static_cast<double>(g[c]) * static_cast<double>(v_row[c]);
      sums[kScales][r] += sum;
      for_each_vector(values, r, [&](int64_t entry, int64_t first, int64_t width) {
        double* to = sums[kBooks] + entry;
        for (int64_t c = 0; c < width; ++c) to[c] += scale * static_cast<double>(g[first + c]);
      });
    }
  }

  int64_t tile() const override { return codes_are_learned_ ? storage_.group : 0; }
  int64_t entries() const override { return storage_.entries(); }
  std::span<const uint16_t> codes() const override { return codes_; }

  NearestCodes nearest_codes(const Values& values, std::span<const int64_t> tiles, std::span<const float> targets,
                             int64_t beam, ThreadPool& threads) const override {
    NearestCodes nearest{std::vector<uint16_t>(tiles.size() * static_cast<size_t>(storage_.codebooks)),
                         std::vector<float>(targets.size())};
    const int64_t last_width = cols_ - (groups_ - 1) * storage_.group;
    std::vector<int64_t> whole, narrow;  // places in `tiles`
    for (int64_t i = 0; i < static_cast<int64_t>(tiles.size()); ++i) {
      const bool is_last = tiles[static_cast<size_t>(i)] % groups_ == groups_ - 1;
      (is_last && last_width < storage_.group ? narrow : whole).push_back(i);
    }
    search(values, tiles, targets, beam, whole, storage_.group, nearest, threads);
    search(values, tiles, targets, beam, narrow, last_width, nearest, threads);
    return nearest;
  }

  std::shared_ptr<const StoredMatrix> store(const std::string& name, std::shared_ptr<const StoredMatrix> matrix,
                                            const Values& values) const override {
    std::map<std::string, std::vector<std::byte>> codes;
    if (values.codes != nullptr) codes[".codes"] = pack_codes(storage_, rows_, cols_, *values.codes);
    const Storage storage = matrix->spec();
    return exchanged(name, std::move(matrix), storage, {{".codebooks", values[kBooks]}, {".scales", values[kScales]}},
                     std::move(codes));
  }

 private:
  static constexpr size_t kBooks = 0, kScales = 1;

  const std::vector<uint16_t>& codes_of(const Values& values) const {
    return values.codes != nullptr ? *values.codes : codes_;
  }

  /// Tiles of one width, each as a row of one group of a matrix of its own.
  void search(const Values& values, std::span<const int64_t> tiles, std::span<const float> targets, int64_t beam,
              const std::vector<int64_t>& places, int64_t width, NearestCodes& nearest, ThreadPool& threads) const {
    if (places.empty()) return;
    const int64_t g = storage_.group, books = storage_.codebooks, count = static_cast<int64_t>(places.size());
    AdditiveCode code{storage_, count, 1, {}, values[kBooks], {}};
    LayerMoment moment{g, {}};  // what lies beyond a narrow tile does not count
    if (width < g) {
      moment.h.resize(static_cast<size_t>(g * g));
      for (int64_t c = 0; c < width; ++c) moment.h[static_cast<size_t>(c * g + c)] = 1;
    }
    std::vector<float> wanted;
    for (const int64_t place : places) {
      const int64_t tile = tiles[static_cast<size_t>(place)];
      const auto own = codes_of(values).begin() + tile * books;
      code.codes.insert(code.codes.end(), own, own + books);
      code.scales.push_back(values[kScales][static_cast<size_t>(tile / groups_)]);
      const auto target = targets.begin() + place * g;
      wanted.insert(wanted.end(), target, target + g);
    }
    std::vector<float> before(wanted.size()), residual(wanted.size()), after(wanted.size());
    find_residual(code, moment, wanted, before, residual, threads);
    sweep_codes(code, moment, random_order(code, 0, 0), {beam}, residual, threads);
    find_residual(code, moment, wanted, after, residual, threads);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = places[static_cast<size_t>(i)];
      std::copy_n(code.codes.begin() + i * books, books, nearest.codes.begin() + place * books);
      for (int64_t c = i * g; c < i * g + width; ++c) {
        nearest.moves[static_cast<size_t>((place - i) * g + c)] =
            after[static_cast<size_t>(c)] - before[static_cast<size_t>(c)];
      }
    }
  }

  /// f(where its vector begins in the codebooks, first column, columns) for each code of a row.
  template <class F>
  void for_each_vector(const Values& values, int64_t r, const F& f) const {
    const uint16_t* code = codes_of(values).data() + r * groups_ * storage_.codebooks;
    for (int64_t j = 0; j < groups_; ++j) {
      const int64_t first = j * storage_.group, width = std::min(storage_.group, cols_ - first);
      for (int64_t m = 0; m < storage_.codebooks; ++m, ++code) {
        f((m * storage_.entries() + *code) * storage_.group, first, width);
      }
    }
  }

  VectorStorage storage_;
  int64_t rows_, cols_, groups_;
  bool codes_are_learned_;
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
    const float* scales = values[0].data() + first_of(r);
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

/// A factor [rank, width] of a low-rank product, as `factors` holds what is nearest to `values`.
std::shared_ptr<const StoredMatrix> stored_factor(const BaseStorage& factors, int64_t rank,
                                                  const std::vector<float>& values, ThreadPool& threads) {
  const RoundingTarget target{{factors, {}}, {}};
  const auto rows = dense_matrix(rank, static_cast<int64_t>(values.size()) / rank, values);
  InputCache nothing;
  Ranks alone;
  return round_matrix(NearestRounding{}, {"a low-rank factor", *rows, target, nullptr, nothing, alone, threads}).matrix;
}

class ScalesAndProduct final : public Parametrisation {
 public:
  ScalesAndProduct(const std::string& name, const std::shared_ptr<const StoredMatrix>& matrix, const ScaleShape& shape,
                   bool not_negative)
      : ScalesAndProduct(matrix, std::make_unique<GroupScales>(name, codes_of(name, matrix), shape, not_negative)) {}

  std::vector<float> unscaled(const Values& values, ThreadPool& threads) const override {
    return scales_->unscaled(values, threads);
  }

  void scale_row(const Values& values, int64_t r, float* row) const override {
    scales_->scale_row(values, r, row);
    for (int64_t k = 0; k < rank_; ++k) {  // in the order in which the storage adds them
      const float a = values[kA][static_cast<size_t>(k * rows_ + r)], *b = values[kB].data() + k * cols_;
      for (int64_t c = 0; c < cols_; ++c) row[c] += a * b[c];
    }
  }

  void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                    const Sums& sums) const override {
    scales_->add_gradient(values, gradient, v, sums);
    for (int64_t i = 0; i < gradient.count; ++i) {
      const float* g = gradient.g + i * cols_;
      const int64_t r = gradient.begin + i;
      for (int64_t k = 0; k < rank_; ++k) {
        const double a = values[kA][static_cast<size_t>(k * rows_ + r)];
        const float* b = values[kB].data() + k * cols_;
        double *to = sums[kB] + k * cols_, sum = 0;
        for (int64_t c = 0; c < cols_; ++c) {
          sum += static_cast<double>(g[c]) * static_cast<double>(b[c]);
          to[c] += a * static_cast<double>(g[c]);
        }
        sums[kA][k * rows_ + r] += sum;
      }
    }
  }

  std::shared_ptr<const StoredMatrix> store(const std::string& name, std::shared_ptr<const StoredMatrix> matrix,
                                            const Values& values) const override {
    ThreadPool threads(1);
    const BaseStorage& factors = matrix->spec().side.low_rank.factors;
    std::map<std::string, std::vector<std::byte>> bytes;
    for (const size_t part : {kA, kB}) {
      const auto factor = stored_factor(factors, rank_, values[part], threads);
      for (const TensorPart& of : factor->parts()) {
        bytes[parts()[part].suffix + of.suffix].assign(of.bytes.begin(), of.bytes.end());
      }
    }
    const Storage storage = matrix->spec();
    return exchanged(name, std::move(matrix), storage, {{".scales", values[0]}}, std::move(bytes));
  }

 private:
  static constexpr size_t kA = 1, kB = 2;  // behind the scales

  ScalesAndProduct(const std::shared_ptr<const StoredMatrix>& matrix, std::unique_ptr<const GroupScales> scales)
      : Parametrisation(parts_of(*matrix, *scales)),
        rows_(matrix->rows()),
        cols_(matrix->cols()),
        rank_(rank_of(matrix->spec().side.low_rank, rows_, cols_)),
        scales_(std::move(scales)) {}

  static bool is_of_factor(const TensorPart& part, std::string_view factor) { return part.suffix.starts_with(factor); }

  /// The matrix without its product.
  static std::shared_ptr<const StoredMatrix> codes_of(const std::string& name,
                                                      const std::shared_ptr<const StoredMatrix>& matrix) {
    Storage storage = matrix->spec();
    storage.side.low_rank = {};
    std::vector<TensorPart> parts;
    for (const TensorPart& part : matrix->parts()) {
      if (!is_of_factor(part, ".low_")) parts.push_back(part);
    }
    return StoredMatrix::from_parts(name, storage, matrix->rows(), matrix->cols(), parts, matrix);
  }

  static std::vector<LearnedPart> parts_of(const StoredMatrix& matrix, const Parametrisation& scales) {
    const LowRankStorage& product = matrix.spec().side.low_rank;
    const int64_t rank = rank_of(product, matrix.rows(), matrix.cols());
    std::vector<LearnedPart> parts = scales.parts();
    for (const auto& [suffix, width, by_rows] :
         {std::tuple{".low_a", matrix.rows(), true}, {".low_b", matrix.cols(), false}}) {
      std::vector<TensorPart> own;
      for (TensorPart part : matrix.parts()) {
        if (!is_of_factor(part, suffix)) continue;
        part.suffix.erase(0, std::string_view(suffix).size());
        own.push_back(std::move(part));
      }
      std::vector<float> values(static_cast<size_t>(rank * width));
      product.factors.open(suffix, rank, width, own)->decode_rows(0, rank, values.data());
      const auto to_stored = [factors = product.factors, rank = rank](std::vector<float>& of) {
        ThreadPool threads(1);
        of = stored_factor(factors, rank, of, threads)->decode_all();
      };
      parts.push_back({suffix, by_rows, false, std::move(values), to_stored});
    }
    return parts;
  }

  int64_t rows_, cols_, rank_;
  std::unique_ptr<const GroupScales> scales_;
};

/// What of a storage is learned.
enum class Kind { kNothing, kFrame, kCodebooks, kGroupScales, kScalesAndProduct, kLatentWeights, kLearnedFormat };

Kind kind_of(const Storage& storage, Learned what) {
  const FrameStorage& frame = storage.side.frame;
  if (what == Learned::kAllAndFormats && has_learned_format(storage)) return Kind::kLearnedFormat;
  if (what == Learned::kAllAndWeights && has_latent_weights(storage)) return Kind::kLatentWeights;
  if (frame.in_scales || frame.out_scales) return Kind::kFrame;
  SideTerms others = storage.side;
  others.low_rank = {};
  if (what == Learned::kFrames || others != SideTerms{}) return Kind::kNothing;
  const bool product = storage.side.low_rank.present();
  if (storage.base.get_if<VectorStorage>() != nullptr) return product ? Kind::kNothing : Kind::kCodebooks;
  const auto* grid = storage.base.get_if<GridStorage>();
  const auto* affine = storage.base.get_if<AffineStorage>();
  const bool scales_are_numbers =
      (grid != nullptr && grid->scale == ScaleType::kF16) || (affine != nullptr && affine->second_bits == 0);
  if (!scales_are_numbers) return Kind::kNothing;
  return product ? Kind::kScalesAndProduct : Kind::kGroupScales;
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
      return std::make_unique<AdditiveCodebooks>(*matrix, what);
    case Kind::kGroupScales:
      return std::make_unique<GroupScales>(name, matrix, shape_of_scales(storage, matrix->rows(), matrix->cols()),
                                           !may_be_negative(storage));
    case Kind::kScalesAndProduct:
      return std::make_unique<ScalesAndProduct>(name, matrix, shape_of_scales(storage, matrix->rows(), matrix->cols()),
                                                !may_be_negative(storage));
    case Kind::kLatentWeights:
      return latent_grid(*matrix);
    case Kind::kLearnedFormat:
      return learned_format(*matrix, *matrix, FormatGradient::kThroughFloor);
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
      LearnedSize size{books + rows, 2 * codes + kSum * books};
      if (what != Learned::kAllAndCodes) return size;
      size.weights = rows * cols, size.codes = codes;
      // A multiply-add of a candidate takes some three of those of dense products.
      size.search = 6 * static_cast<double>(codes) * static_cast<double>(vectors.entries() * vectors.group);
      return size;
    }
    case Kind::kGroupScales:
    case Kind::kScalesAndProduct: {
      const ScaleShape shape = shape_of_scales(storage, rows, cols);
      const int64_t scales = shape.rows * shape.cols, rank = rank_of(storage.side.low_rank, rows, cols);
      return {scales + rank * (rows + cols), (shape.group_rows == 1 ? 0 : kSum * scales) + kSum * rank * cols};
    }
    case Kind::kLatentWeights:
      return latent_size(storage, rows, cols);
    case Kind::kLearnedFormat:
      return learned_format_size(storage, rows, cols);
  }
  return {};
}

Parametrisation::NearestCodes Parametrisation::nearest_codes(const Values&, std::span<const int64_t>,
                                                             std::span<const float>, int64_t, ThreadPool&) const {
  return {};
}

std::shared_ptr<const StoredMatrix> Parametrisation::store(const std::string& name,
                                                           std::shared_ptr<const StoredMatrix> matrix,
                                                           const Values& values) const {
  std::map<std::string, std::vector<float>> by_suffix;
  for (size_t i = 0; i < parts_.size(); ++i) by_suffix[parts_[i].suffix] = values[i];
  const Storage storage = matrix->spec();
  return exchanged(name, std::move(matrix), storage, by_suffix);
}

int64_t piece_of(const RowSource& rows) {
  const auto* matrix = dynamic_cast<const StoredMatrix*>(&rows);
  const FrameStorage frame = matrix != nullptr ? matrix->spec().side.frame : FrameStorage{};
  return std::max(kPiece, frame.out_block > 0 ? out_rotation(frame, matrix->rows()).block() : 1);
}

int64_t rows_of_wave(int64_t piece) { return std::max<int64_t>(1, kGradientWave * kGradientPanel / piece) * piece; }

void decode_pieces(const RowSource& rows, int64_t begin, int64_t end, int64_t piece, float* out, ThreadPool& threads) {
  threads.parallel_for((end - begin + piece - 1) / piece, [&](int64_t i) {
    const int64_t first = begin + i * piece;
    rows.decode_rows(first, std::min(end, first + piece), out + i * piece * rows.cols());
  });
}

std::vector<float> decode_dense(const RowSource& rows, int64_t piece, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(rows.rows() * rows.cols()));
  decode_pieces(rows, 0, rows.rows(), piece, values.data(), threads);
  return values;
}

}  // namespace bitloom
