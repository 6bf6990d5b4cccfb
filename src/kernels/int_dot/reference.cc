#include "kernels/int_dot/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

double scale_at(const IntRows& w, int64_t shared, int64_t group) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0, DType::kF8E4M3};
  float scale = 0;
  decode_to_f32(kTypes[static_cast<int>(w.scale_kind)], w.scales + shared * w.scale_row_bytes, group, 1, &scale);
  return scale;
}

int code_at(const std::byte* row, int64_t index, int bits) {
  uint8_t code = 0;
  unpack_bits(row, index, 1, bits, &code);
  return code;
}

int level_of(const IntRows& w, int bits, int code) {
  if (w.levels != nullptr) return w.levels[code];
  return w.zeros == nullptr && code >= 1 << (bits - 1) ? code - (1 << bits) : code;
}

}  // namespace

ReferenceDot int_dot_reference(const IntDotCall& call, int bits, int64_t t, int64_t r) {
  const IntRows& w = call.w;
  const int64_t row = w.order == nullptr ? r : w.order[r], shared = row / w.group_rows;
  ReferenceDot sum;
  for (int64_t c = 0; c < w.cols; ++c) {
    const int64_t group = c / w.group, block = c / kInputBlock * kInputBlock;
    const int level = level_of(w, bits, code_at(w.codes + row * w.row_bytes, c, bits));
    const int zero = w.zeros == nullptr ? 0 : code_at(w.zeros + shared * w.zero_row_bytes, group, bits);
    const double x = call.x[t * call.x_stride + c], scale = w.factor * scale_at(w, shared, group);
    double greatest = 0;
    for (int64_t i = block; i < std::min(block + kInputBlock, w.cols); ++i) {
      greatest = std::max<double>(greatest, std::abs(call.x[t * call.x_stride + i]));
    }
    const double size = std::abs(scale) * (std::abs(level) + zero + (1 << (bits - 1)));
    sum.value += scale * (level - zero) * x;
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
  double value = 0;
  for (int64_t p = 0; p < planes; ++p) value = 256 * value + x.digits[(t * planes + p) * x.stride + at];
  return value * x.scales[(t * x.stride + column) / lane_columns(order)];
}

}  // namespace bitloom
