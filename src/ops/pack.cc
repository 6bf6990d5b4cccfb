// From what is stored to what a kernel reads: the one place that knows both.

#include <cassert>
#include <optional>
#include <utility>

#include "format/quantized_tensor.h"
#include "ops/packed_linear.h"

namespace bitloom {
namespace {

std::optional<ScaleKind> kind_of(ScaleType scale) {
  if (scale == ScaleType::kF32) return ScaleKind::kF32;
  if (scale == ScaleType::kF16) return ScaleKind::kF16;
  if (scale == ScaleType::kBF16) return ScaleKind::kBF16;
  return std::nullopt;
}

/// The stored bytes of a symmetric integer matrix; nullopt for any other.
std::optional<IntRows> int_rows(const QuantizedTensor& matrix) {
  const QuantSpec& spec = matrix.spec();
  const auto* format = std::get_if<IntFormat>(&spec.format);
  const std::optional<ScaleKind> kind = kind_of(spec.scale);
  if (format == nullptr || format->fraction != 0 || spec.asymmetric || !kind) return std::nullopt;
  const ScaleShape shape = scale_shape(spec, matrix.rows(), matrix.cols());
  const TensorPart &codes = matrix.parts()[0], &scales = matrix.parts()[1];
  IntRows view;
  view.codes = codes.bytes.data(), view.row_bytes = codes.shape[1];
  view.scales = scales.bytes.data(), view.scale_row_bytes = bytes_of(scales.dtype, shape.cols);
  view.cols = matrix.cols();
  view.group = shape.group_cols, view.group_rows = shape.group_rows;
  view.scale_kind = *kind;
  return view;
}

}  // namespace

std::shared_ptr<const PackedLinear> PackedLinear::pack(RowSourcePtr matrix, std::vector<int64_t> order,
                                                       const PackOptions& options) {
  const auto* quantized = dynamic_cast<const QuantizedTensor*>(matrix.get());
  if (quantized == nullptr || matrix->rows() == 0 || matrix->cols() == 0) return nullptr;
  const std::optional<IntRows> view = int_rows(*quantized);
  if (!view) return nullptr;
  const int bits = bits_of(quantized->spec().format);
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
