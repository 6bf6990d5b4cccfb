// From what is stored to what a kernel reads: the one place that knows both.

#include <cassert>
#include <optional>
#include <utility>

#include "format/stored_matrix.h"
#include "ops/packed_linear.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

std::optional<ScaleKind> kind_of(ScaleType scale) {
  if (scale == ScaleType::kF32) return ScaleKind::kF32;
  if (scale == ScaleType::kF16) return ScaleKind::kF16;
  if (scale == ScaleType::kBF16) return ScaleKind::kBF16;
  return std::nullopt;
}

/// The stored bytes of a symmetric integer matrix; nullopt for any other.
std::optional<IntRows> int_rows(const GridMatrix& grid, int64_t cols) {
  const GridStorage& storage = grid.storage();
  const auto* format = std::get_if<IntFormat>(&storage.format);
  const std::optional<ScaleKind> kind = kind_of(storage.scale);
  if (format == nullptr || format->fraction != 0 || storage.asymmetric || !kind) return std::nullopt;
  const ScaleShape& shape = grid.shape();
  IntRows view;
  view.codes = grid.stored_codes(), view.row_bytes = bitstream_bytes(format->bits, cols);
  view.scales = grid.stored_scales(), view.scale_row_bytes = bytes_of(stored_dtype(storage.scale), shape.cols);
  view.cols = cols;
  view.group = shape.group_cols, view.group_rows = shape.group_rows;
  view.scale_kind = *kind;
  return view;
}

}  // namespace

std::shared_ptr<const PackedLinear> PackedLinear::pack(RowSourcePtr matrix, std::vector<int64_t> order,
                                                       const PackOptions& options) {
  const auto* stored = dynamic_cast<const StoredMatrix*>(matrix.get());
  if (stored == nullptr || stored->has_side_terms() || matrix->rows() == 0 || matrix->cols() == 0) return nullptr;
  const GridMatrix* grid = stored->grid();
  const std::optional<IntRows> view = grid == nullptr ? std::nullopt : int_rows(*grid, matrix->cols());
  if (!view) return nullptr;
  const int bits = bits_of(grid->storage().format);
  const auto find = [&](DotInput input) { return find_int_dot(options.isa, bits, input, view->group, view->cols); };
  const IntDotEntry* kernel = options.activations == Activations::kInt8 ? find(DotInput::kInt8) : nullptr;
  if (kernel == nullptr) kernel = find(DotInput::kF32);
  if (kernel == nullptr) return nullptr;
  assert(order.empty() || static_cast<int64_t>(order.size()) == matrix->rows());
  std::shared_ptr<PackedLinear> packed(new PackedLinear);
  packed->rows_ = matrix->rows();
  packed->matrix_ = std::move(matrix);
  packed->order_ = std::move(order);
  packed->kernel_ = kernel;
  packed->view_ = *view;
  packed->view_.order = packed->order_.empty() ? nullptr : packed->order_.data();
  return packed;
}

}  // namespace bitloom
