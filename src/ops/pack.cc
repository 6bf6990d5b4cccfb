// From what is stored to what a kernel reads: the one place that knows both.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "base/memory/dtype.h"
#include "format/families/affine/affine_storage.h"
#include "format/families/trellis/trellis_storage.h"
#include "format/stored_matrix.h"
#include "io/stored_rows.h"
#include "ops/packed_linear.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

ScaleKind kind_of(ScaleType scale) {
  switch (scale) {
    case ScaleType::kF32:
      return ScaleKind::kF32;
    case ScaleType::kF16:
      return ScaleKind::kF16;
    case ScaleType::kBF16:
      return ScaleKind::kBF16;
    case ScaleType::kE8M0:
      return ScaleKind::kE8M0;
    case ScaleType::kE4M3TwoLevel:
      return ScaleKind::kE4M3;
  }
  return ScaleKind::kF32;
}

/// A format's levels as unit times integers of eight bits, by code. With zero points codes count units of 1.
struct IntLevels {
  float unit = 1.0f;
  std::vector<int8_t> levels = {};  // empty: two's complement
  bool rounded = false;             // to steps of a 127th of the greatest
};

/// nullopt where no power of two makes all levels such integers, unless they may be `rounded`: then in steps of a 127th
/// of the greatest, as inputs of eight bits are, and codes of no finite number count as 0.
std::optional<IntLevels> int_levels(const Format& format, bool rounded) {
  if (const auto* integer = std::get_if<IntFormat>(&format)) return IntLevels{std::ldexp(1.0f, -integer->fraction)};
  std::vector<float> values = grid_of(format).decode;
  for (float& value : values) value = rounded && !std::isfinite(value) ? 0 : value;
  for (int e = -8; e <= 16; ++e) {
    const auto is_integer = [e](float value) {
      const float level = std::ldexp(value, e);
      return std::abs(level) <= 127 && level == std::nearbyint(level);
    };
    if (!std::all_of(values.begin(), values.end(), is_integer)) continue;
    IntLevels found{std::ldexp(1.0f, -e)};
    for (const float value : values) found.levels.push_back(static_cast<int8_t>(std::ldexp(value, e)));
    return found;
  }
  if (!rounded) return std::nullopt;
  const float greatest = std::abs(
      *std::max_element(values.begin(), values.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
  IntLevels found{greatest / 127, {}, true};
  for (const float value : values) found.levels.push_back(static_cast<int8_t>(std::nearbyint(value / found.unit)));
  return found;
}

IntRows int_rows(const StoredMatrix& matrix, const IntLevels& levels) {
  const GridMatrix& grid = *matrix.grid();
  const int64_t cols = matrix.cols();
  const TensorPart* zeros = matrix.find_part(".zeros");
  const GridStorage& storage = grid.storage();
  const ScaleShape& shape = grid.shape();
  const int bits = bits_of(storage.format);
  IntRows view;
  view.codes = grid.stored_codes(), view.row_bytes = bitstream_bytes(bits, cols);
  view.scales = grid.stored_scales(), view.scale_row_bytes = bytes_of(stored_dtype(storage.scale), shape.cols);
  view.zeros = zeros == nullptr ? nullptr : zeros->bytes.data();
  view.zero_row_bytes = bitstream_bytes(bits, shape.cols);
  view.levels = levels.levels.empty() ? nullptr : levels.levels.data();
  view.rows = matrix.rows(), view.cols = cols;
  view.group = shape.group_cols, view.group_rows = shape.group_rows, view.scale_rows = shape.rows;
  view.scale_kind = kind_of(storage.scale);
  view.factor = (storage.asymmetric ? 1.0f : levels.unit) * grid.tensor_scale();
  return view;
}

/// The shift that makes fp16 of a minifloat of eight bits, and what those numbers are to be multiplied with; 0: none.
std::pair<int, float> half_shift(const Format& format) {
  const auto* minifloat = std::get_if<MinifloatFormat>(&format);
  if (minifloat == nullptr || bits_of(*minifloat) != 8) return {0, 1.0f};
  // The top of five bits of exponent is no number in fp16.
  if (minifloat->exponent > 5 || (minifloat->exponent == 5 && minifloat->reserve != Reserve::kIeee)) return {0, 1.0f};
  constexpr int kHalfMantissa = 10, kHalfBias = 15;
  return {kHalfMantissa - minifloat->mantissa, std::ldexp(1.0f, kHalfBias - minifloat->bias)};
}

/// Codes that the format makes no finite number of, and fp16 one, or the other way round.
std::vector<uint8_t> codes_unlike_halves(const Grid& grid, int shift) {
  std::vector<uint8_t> unlike;
  for (size_t code = 0; code < grid.decode.size(); ++code) {
    const float half = f16_to_f32(static_cast<uint16_t>((code & 127) << shift));
    if (std::isfinite(half) != std::isfinite(grid.decode[code])) unlike.push_back(static_cast<uint8_t>(code));
  }
  return unlike;
}

bool holds_any(std::span<const std::byte> bytes, const std::vector<uint8_t>& codes) {
  constexpr size_t kChunk = 1 << 14;  // stays in the first cache
  for (size_t i = 0; i < bytes.size() && !codes.empty(); i += kChunk) {
    const size_t count = std::min(kChunk, bytes.size() - i);
    for (const uint8_t code : codes) {
      if (std::memchr(bytes.data() + i, code, count) != nullptr) return true;
    }
  }
  return false;
}

/// The widths of groups' codes.
std::vector<uint8_t> affine_widths(const StoredMatrix& matrix, const AffineStorage& storage) {
  std::vector<uint8_t> widths(static_cast<size_t>(storage.groups(matrix.cols())), static_cast<uint8_t>(storage.bits));
  const TensorPart* part = matrix.find_part(".widths");
  for (size_t g = 0; part != nullptr && g < widths.size(); ++g) widths[g] = std::to_integer<uint8_t>(part->bytes[g]);
  return widths;
}

/// Where the codes of every kRunColumns columns begin; empty where those are not of one width each, or of a wider one
/// than kernels know.
std::vector<CodeRun> code_runs(const AffineStorage& storage, const std::vector<uint8_t>& widths, int64_t cols) {
  std::vector<CodeRun> runs;
  const int64_t group = storage.width(cols);
  if (group % kRunColumns != 0 && group < cols) return runs;
  if (*std::max_element(widths.begin(), widths.end()) > kMostMixedBits) return runs;
  int64_t start = 0;
  for (size_t g = 0; g < widths.size(); ++g) {
    const int64_t count = storage.width_of(static_cast<int64_t>(g), cols);
    for (int64_t c = 0; c < count; c += kRunColumns) {
      runs.push_back({static_cast<int32_t>(start + bitstream_bytes(widths[g], c)), widths[g]});
    }
    start += bitstream_bytes(widths[g], count);
  }
  return runs;
}

IntRows affine_rows(const StoredMatrix& matrix, const AffineStorage& storage) {
  const int64_t cols = matrix.cols(), groups = storage.groups(cols);
  const auto bytes = [&](const char* suffix) { return matrix.find_part(suffix)->bytes.data(); };
  IntRows view;
  view.codes = bytes(".codes"), view.row_bytes = matrix.find_part(".codes")->shape[1];
  view.scales = bytes(".scales"), view.zeros = bytes(".zeros"), view.real_zeros = true;
  view.rows = matrix.rows(), view.cols = cols, view.group = storage.width(cols), view.scale_rows = matrix.rows();
  view.scale_row_bytes = 2 * groups;
  if (storage.second_bits > 0) {
    view.scale_kind = ScaleKind::kSecond;
    view.scale_row_bytes = bitstream_bytes(storage.second_bits, groups);
    view.second = {bytes(".second"), storage.second_bits, storage.second_rows, 8 * groups};
  }
  view.zero_row_bytes = view.scale_row_bytes;
  return view;
}

/// A stored matrix without side terms but those that are applied beside a kernel; else null.
const StoredMatrix* without_order(const RowSource& matrix) {
  const auto* stored = dynamic_cast<const StoredMatrix*>(&matrix);
  if (stored == nullptr) return nullptr;
  SideTerms others = stored->spec().side;
  others.low_rank = LowRankStorage{}, others.outliers = OutlierStorage{}, others.frame = FrameStorage{};
  return others == SideTerms{} ? stored : nullptr;
}

}  // namespace

bool PackedLinear::pack_ints(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  if (stored == nullptr || stored->grid() == nullptr) return false;
  const GridMatrix& grid = *stored->grid();
  const bool exact = options.activations == Activations::kExact;
  std::optional<IntLevels> levels = int_levels(grid.storage().format, false);
  const bool may_round = !levels && !exact && bits_of(grid.storage().format) == 4;
  if (may_round) levels = int_levels(grid.storage().format, true);
  if (!levels) return false;
  IntDotNeeds needs = {bits_of(grid.storage().format), levels->levels.empty() ? CodeKind::kInteger : CodeKind::kTable,
                       exact, grid.shape().group_cols, matrix_->cols()};
  int_kernel_ = find_int_dot(options.isa, needs);
  needs.exact = true;
  if (int_kernel_ == nullptr && !may_round) int_kernel_ = find_int_dot(options.isa, needs);
  if (int_kernel_ == nullptr) return false;
  rounds_levels_ = levels->rounded;
  ints_ = int_rows(*stored, *levels);
  ints_.order = order_.empty() ? nullptr : order_.data();
  levels_ = std::move(levels->levels);  // whose address stays
  if (!exact) {
    gemm_kernel_ = find_int_gemm(options.isa, needs.bits, needs.codes, needs.group, needs.cols);
  }
  return true;
}

bool PackedLinear::pack_levels(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  if (stored == nullptr || stored->grid() == nullptr || stored->grid()->storage().asymmetric) return false;
  const GridMatrix& grid = *stored->grid();
  const Grid all = grid_of(grid.storage().format);
  auto [shift, unit] = half_shift(grid.storage().format);
  // Nobody verified that the file's codes are numbers.
  if (shift != 0 && holds_any(stored->find_part(".codes")->bytes, codes_unlike_halves(all, shift))) shift = 0;
  float_levels_ = all.decode;
  for (float& level : float_levels_) level /= unit;
  LevelRows& rows = level_rows_;
  rows.bits = bits_of(grid.storage().format), rows.half_shift = shift;
  rows.levels = float_levels_.data();
  rows.w = int_rows(*stored, {unit}), rows.w.order = order_.empty() ? nullptr : order_.data();
  level_kernel_ = &find_level_dot(options.isa, rows.w.group, rows.w.cols);
  return true;
}

bool PackedLinear::pack_affine(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  const auto* storage = stored == nullptr ? nullptr : stored->spec().base.get_if<AffineStorage>();
  if (storage == nullptr) return false;
  ints_ = affine_rows(*stored, *storage), ints_.order = order_.empty() ? nullptr : order_.data();
  const bool exact = options.activations == Activations::kExact;
  IntDotNeeds needs = {storage->bits, CodeKind::kInteger, exact, ints_.group, ints_.cols};
  // Groups of whole bytes follow each other as a bitstream row.
  if (storage->mixed || storage->bits == 1 || (ints_.group % 8 != 0 && ints_.group < ints_.cols)) {
    needs.codes = CodeKind::kMixed, needs.bits = kMostMixedBits;
    runs_ = code_runs(*storage, affine_widths(*stored, *storage), ints_.cols), ints_.runs = runs_.data();
    if (runs_.empty()) return false;
  }
  int_kernel_ = find_int_dot(options.isa, needs);
  if (!exact) gemm_kernel_ = find_int_gemm(options.isa, needs.bits, needs.codes, needs.group, needs.cols);
  needs.exact = true;
  if (int_kernel_ == nullptr) int_kernel_ = find_int_dot(options.isa, needs);
  return int_kernel_ != nullptr;
}

bool PackedLinear::pack_blocks(const PackOptions& options) {
  const auto* stored = dynamic_cast<const StoredRows*>(matrix_.get());
  if (stored == nullptr) return false;
  for (const BlockKind& kind : kBlockKinds) {
    if (stored->storage() != kind.name) continue;
    const bool exact = options.activations == Activations::kExact;
    int_kernel_ = find_int_dot(options.isa, {kind.bits, kind.codes, exact, kind.group, stored->cols()});
    ints_.codes = stored->stored_rows(), ints_.order = order_.empty() ? nullptr : order_.data();
    ints_.rows = rows_, ints_.cols = stored->cols(), ints_.row_bytes = stored->stored_bytes() / rows_;
    ints_.group = kind.group;
    if (!exact) gemm_kernel_ = find_int_gemm(options.isa, kind.bits, kind.codes, kind.group, stored->cols());
  }
  return int_kernel_ != nullptr;
}

bool PackedLinear::pack_trellis(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  const auto* storage = stored == nullptr ? nullptr : stored->spec().base.get_if<TrellisStorage>();
  if (storage == nullptr || storage->code.state_bits != 16) return false;
  trellis_kernel_ = &find_trellis_dot(options.isa);
  const bool exact = options.activations == Activations::kExact;
  trellis_input_ = exact ? DotInput::kInt24 : DotInput::kInt8;
  if (!exact) trellis_gemm_ = &find_trellis_gemm(options.isa);
  trellis_.codes = stored->find_part(".codes")->bytes.data();
  trellis_.rows = stored->rows(), trellis_.cols = stored->cols();
  trellis_.values = storage->code.values, trellis_.half_bits = storage->code.half_bits;
  trellis_.hash = kTrellisHash, trellis_.mix = kTrellisMix, trellis_.table = kTrellisTable.data();
  std::memcpy(&trellis_.scale, stored->find_part(".scale")->bytes.data(), sizeof trellis_.scale);
  return true;
}

bool PackedLinear::pack_dense(const PackOptions& options) {
  const auto* stored = dynamic_cast<const StoredRows*>(matrix_.get());
  if (stored == nullptr) return false;
  const std::optional<DType> dtype = dtype_from_name(stored->storage());
  if (!dtype) return false;
  dense_kernel_ = find_dense_dot(options.isa, *dtype);
  if (*dtype == DType::kBF16 && options.activations != Activations::kExact) bf16_gemm_ = find_bf16_gemm(options.isa);
  dense_ = stored->stored_rows();
  return dense_kernel_ != nullptr;
}

/// Whether the matrix has none, or such as a kernel may read: of a file that nobody verified a column may be none.
bool PackedLinear::pack_outliers(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  if (stored == nullptr || !stored->spec().side.outliers.present()) return true;
  const TensorPart &values = *stored->find_part(".outlier_values"), &columns = *stored->find_part(".outlier_columns");
  for (size_t i = 0; i < columns.bytes.size(); i += 2) {
    uint16_t column;
    std::memcpy(&column, columns.bytes.data() + i, 2);
    if (column >= stored->cols()) return false;
  }
  outlier_kernel_ = find_sparse_dot(options.isa).kernel;
  outliers_ = {values.bytes.data(), columns.bytes.data(), stored->find_part(".outlier_starts")->bytes.data()};
  return true;
}

/// Whether the matrix has no such term, or one that is read as it lies.
bool PackedLinear::pack_low_rank(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  if (stored == nullptr || !stored->spec().side.low_rank.present()) return true;
  low_rank_ = PackedLowRank::open(*stored);
  if (low_rank_ != nullptr) inner_ = pack(low_rank_->inner(), {}, options);
  return inner_ != nullptr;
}

bool PackedLinear::pack_family(const PackOptions& options) {
  const StoredMatrix* stored = without_order(*matrix_);
  if (stored == nullptr) return false;
  family_ = make_family_product(*stored, options.isa, options.activations == Activations::kExact);
  return family_ != nullptr;
}

std::shared_ptr<const PackedLinear> PackedLinear::pack(RowSourcePtr matrix, std::vector<int64_t> order,
                                                       const PackOptions& options) {
  if (matrix->rows() == 0 || matrix->cols() == 0) return nullptr;
  assert(order.empty() || static_cast<int64_t>(order.size()) == matrix->rows());
  std::shared_ptr<PackedLinear> packed(new PackedLinear);
  packed->rows_ = matrix->rows();
  packed->matrix_ = std::move(matrix);
  const StoredMatrix* stored = without_order(*packed->matrix_);
  // Kernels of whole rows have an order of their own, those of tiles none.
  const bool whole_rows =
      stored != nullptr && (stored->grid() != nullptr || stored->spec().base.get_if<AffineStorage>() != nullptr);
  if (stored != nullptr && (stored->has_side_terms() || !whole_rows)) {
    packed->frame_.emplace(*stored, std::move(order));
  } else {
    packed->order_ = std::move(order);
  }
  if (!packed->pack_outliers(options) || !packed->pack_low_rank(options)) return nullptr;
  if (!packed->pack_ints(options) && !packed->pack_levels(options) && !packed->pack_affine(options) &&
      !packed->pack_trellis(options) && !packed->pack_family(options) && !packed->pack_blocks(options) &&
      !packed->pack_dense(options)) {
    return nullptr;
  }
  return packed;
}

}  // namespace bitloom
