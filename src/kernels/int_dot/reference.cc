#include "kernels/int_dot/reference.h"

#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

double scale_at(const IntRows& w, int64_t row, int64_t group) {
  const std::byte* scales = w.scales + row / w.group_rows * w.scale_row_bytes;
  float scale = 0;
  switch (w.scale_kind) {
    case ScaleKind::kF32:
      decode_to_f32(DType::kF32, scales, group, 1, &scale);
      break;
    case ScaleKind::kF16:
      decode_to_f32(DType::kF16, scales, group, 1, &scale);
      break;
    case ScaleKind::kBF16:
      decode_to_f32(DType::kBF16, scales, group, 1, &scale);
      break;
  }
  return scale;
}

}  // namespace

ReferenceDot int_dot_reference(const IntDotCall& call, int bits, DotInput input, int64_t t, int64_t r) {
  const IntRows& w = call.w;
  const int64_t row = w.order == nullptr ? r : w.order[r];
  ReferenceDot sum;
  for (int64_t c = 0; c < w.cols; ++c) {
    uint8_t code = 0;
    unpack_bits(w.codes + row * w.row_bytes, c, 1, bits, &code);
    const int level = code >= 1 << (bits - 1) ? code - (1 << bits) : code;
    const double x = input == DotInput::kF32
                         ? call.x[t * call.x_stride + c]
                         : static_cast<double>(call.block_scales[t * (call.x8_stride / kInt8Block) + c / kInt8Block]) *
                               call.x8[t * call.x8_stride + c];
    const double term = scale_at(w, row, c / w.group) * level * x;
    sum.value += term, sum.magnitude += std::abs(term);
  }
  return sum;
}

}  // namespace bitloom
