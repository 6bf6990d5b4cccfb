#include "kernels/int_dot/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/memory/dtype.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

/// A scale or a zero point, and the sum of its terms' absolute values.
struct Number {
  double value, size;
};

int code_at(const std::byte* row, int64_t index, int bits) {
  uint8_t code = 0;
  unpack_bits(row, index, 1, bits, &code);
  return code;
}

/// The scale of a group, or with `zero` its zero point, which is a number.
Number number_at(const IntRows& w, bool zero, int64_t shared, int64_t group) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0, DType::kF8E4M3};
  const std::byte* row = zero ? w.zeros + shared * w.zero_row_bytes : w.scales + shared * w.scale_row_bytes;
  float values[2] = {};
  if (w.scale_kind != ScaleKind::kSecond) {
    decode_to_f32(kTypes[static_cast<int>(w.scale_kind)], row, group, 1, values);
    return {values[0], std::abs(values[0])};
  }
  const double code = code_at(row, group, w.second.bits);
  decode_to_f32(DType::kF16, w.second.numbers + shared / w.second.rows * w.second.row_bytes, 4 * group + (zero ? 2 : 0),
                2, values);
  return {values[0] + values[1] * code, std::abs(values[0]) + std::abs(values[1]) * code};
}

Number zero_at(const IntRows& w, int bits, int64_t shared, int64_t group) {
  if (w.zeros == nullptr) return {0, 0};
  if (w.real_zeros) return number_at(w, true, shared, group);
  const double code = code_at(w.zeros + shared * w.zero_row_bytes, group, bits);
  return {code, code};
}

int level_at(const IntRows& w, CodeKind codes, int bits, int64_t row, int64_t c) {
  const std::byte* start = w.codes + row * w.row_bytes;
  if (codes == CodeKind::kMixed) {
    const CodeRun& run = w.runs[c / kRunColumns];
    return code_at(start + run.start, c % kRunColumns, run.bits);
  }
  const int code = code_at(start, c, bits);
  if (codes == CodeKind::kSign) return 2 * code - 1;
  if (w.levels != nullptr) return w.levels[code];
  return w.zeros == nullptr && code >= 1 << (bits - 1) ? code - (1 << bits) : code;
}

}  // namespace

ReferenceDot int_dot_reference(const IntDotCall& call, CodeKind codes, int bits, int64_t t, int64_t r) {
  const IntRows& w = call.w;
  const int64_t row = w.order == nullptr ? r : w.order[r], shared = row / w.group_rows;
  ReferenceDot sum;
  for (int64_t c = 0; c < w.cols; ++c) {
    const int64_t group = c / w.group, block = c / kInputBlock * kInputBlock;
    const int level = level_at(w, codes, bits, row, c);
    const Number zero = zero_at(w, bits, shared, group), scale = number_at(w, false, shared, group);
    const double x = call.x[t * call.x_stride + c];
    double greatest = 0;
    for (int64_t i = block; i < std::min(block + kInputBlock, w.cols); ++i) {
      greatest = std::max<double>(greatest, std::abs(call.x[t * call.x_stride + i]));
    }
    const double size = w.factor * scale.size * (std::abs(level) + zero.size + (1 << (bits - 1)));
    sum.value += w.factor * scale.value * (level - zero.value) * x;
    sum.magnitude += size * std::abs(x), sum.block_magnitude += size * greatest;
  }
  return sum;
}

double rounded_value(const RoundedInput& x, DotInput input, InputOrder order, int64_t t, int64_t column) {
  const int64_t planes = input == DotInput::kInt8 ? 1 : 3;
  int64_t at = column;
  if (order == InputOrder::kNibbles) at = column / 128 * 128 + column % 2 * 64 + column % 128 / 2;
  if (order == InputOrder::kSixteens) {
    at = column / 256 * 256 + column % 16 / 4 * 64 + column % 256 / 16 * 4 + column % 4;
  }
  if (order == InputOrder::kStrides) {
    at = column / 256 * 256 + column % 4 * 64 + column % 256 / 16 * 4 + column % 16 / 4;
  }
  double value = 0;
  for (int64_t p = 0; p < planes; ++p) value = 256 * value + x.digits[(t * planes + p) * x.stride + at];
  return value * x.scales[(t * x.stride + column) / lane_columns(order)];
}

}  // namespace bitloom
