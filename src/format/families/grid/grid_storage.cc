#include "format/families/grid/grid_storage.h"

#include <algorithm>
#include <array>

#include "packing/bitstream.h"

namespace bitloom {

bool allows_negative_scales(const GridStorage& storage) {
  if (storage.asymmetric || !is_real(storage.scale)) return false;
  const std::vector<float> levels = grid_of(storage.format).levels;
  return !std::equal(levels.begin(), levels.end(), levels.rbegin(), [](float a, float b) { return a == -b; });
}

ScaleType default_scale(const Format& format) {
  // A weight matrix has |w| around 0.1: beyond 512 the scale 0.1 / v_max would approach F16's subnormals (6e-5).
  return limits_of(format).max > 512 ? ScaleType::kBF16 : ScaleType::kF16;
}

ScaleShape scale_shape(const GridStorage& storage, int64_t rows, int64_t cols) {
  const Granularity& g = storage.granularity;
  ScaleShape shape;
  shape.group_rows = 1;
  shape.group_cols = std::max<int64_t>(cols, 1);
  switch (g.kind) {
    case Granularity::Kind::kTensor:
      shape.group_rows = std::max<int64_t>(rows, 1);
      break;
    case Granularity::Kind::kRow:
      break;
    case Granularity::Kind::kGroup:
      shape.group_cols = std::min(g.group, shape.group_cols);
      break;
    case Granularity::Kind::kBlock:
      shape.group_cols = std::min(g.group, shape.group_cols);
      shape.group_rows = std::min(g.block_rows, std::max<int64_t>(rows, 1));
      break;
  }
  shape.rows = g.kind == Granularity::Kind::kTensor ? 1 : (rows + shape.group_rows - 1) / shape.group_rows;
  shape.cols = g.kind == Granularity::Kind::kTensor ? 1 : (cols + shape.group_cols - 1) / shape.group_cols;
  return shape;
}

double nominal_bits(const GridStorage& storage, int64_t rows, int64_t cols) {
  const int bits = bits_of(storage.format);
  const ScaleShape shape = scale_shape(storage, rows, cols);
  const int per_group = scale_bits(storage.scale) + (storage.asymmetric ? bits : 0);
  return bits + static_cast<double>(per_group) / static_cast<double>(shape.group_rows * shape.group_cols);
}

std::vector<GridStorage> at_all_widths(const GridStorage& storage) {
  constexpr std::array kWidths = {2, 3, 4, 5, 6, 8};
  const int own = bits_of(storage.format);
  const auto* integer = std::get_if<IntFormat>(&storage.format);
  const bool is_table = std::holds_alternative<TableFormat>(storage.format) && is_real(storage.scale) &&
                        std::find(kWidths.begin(), kWidths.end(), own) != kWidths.end();
  if (!is_table && (integer == nullptr || integer->fraction != 0)) return {storage};
  std::vector<GridStorage> all;
  for (const int bits : kWidths) {
    all.push_back(storage);
    if (!is_table || bits != own) all.back().format = IntFormat{bits, integer != nullptr && integer->narrow};
  }
  return all;
}

std::vector<TensorPart> greatest_parts(const GridStorage& storage, int64_t rows, int64_t cols) {
  const int bits = bits_of(storage.format);
  const ScaleShape shape = scale_shape(storage, rows, cols);
  std::vector<TensorPart> parts;
  parts.push_back({".codes", DType::kU8, {rows, bitstream_bytes(bits, cols)}, {}});
  parts.push_back({".scales", stored_dtype(storage.scale), {shape.rows, shape.cols}, {}});
  if (storage.asymmetric) parts.push_back({".zeros", DType::kU8, {shape.rows, bitstream_bytes(bits, shape.cols)}, {}});
  if (storage.scale == ScaleType::kE4M3TwoLevel) parts.push_back({".tensor_scale", DType::kF32, {1}, {}});
  return parts;
}

}  // namespace bitloom
