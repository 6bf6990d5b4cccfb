// Kernels for any machine, in plain loops that a compiler can vectorise. Those of fp32 serve any group size.

#include <algorithm>

#include "base/dtype.h"
#include "kernels/int_dot/int_dot.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 32;  // columns whose levels are unpacked at a time
static_assert(kPiece == kInputBlock);

float scale_at(const IntRows& w, const std::byte* scales, int64_t g) {
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E8M0, DType::kF8E4M3};
  float scale = 0;
  decode_to_f32(kTypes[static_cast<int>(w.scale_kind)], scales, g, 1, &scale);
  return scale;
}

/// Levels less their zero point of columns [first, first + count) of a row, count <= kPiece.
void unpack_levels(const IntRows& w, int bits, const std::byte* row, int zero, int64_t first, int64_t count,
                   int16_t* levels) {
  uint8_t codes[kPiece];
  unpack_bits(row, first, count, bits, codes);
  const int half = 1 << (bits - 1);
  for (int64_t i = 0; i < count; ++i) {
    const int code = codes[i];
    const int level = w.levels != nullptr ? w.levels[code] : w.zeros != nullptr ? code : (code ^ half) - half;
    levels[i] = static_cast<int16_t>(level - zero);
  }
}

/// sum of levels[i] * x[i], in lanes whose order never changes.
float dot_f32(const int16_t* levels, const float* x, int64_t count) {
  float lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += static_cast<float>(levels[i + lane]) * x[i + lane];
  }
  for (; i < count; ++i) lanes[i % 8] += static_cast<float>(levels[i]) * x[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

int dot_i8(const int16_t* levels, const int8_t* x, int64_t count) {
  int sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += levels[i] * x[i];
  return sum;
}

/// body(g, first, count, levels) for all pieces of a row: none crosses a group's or a block's border.
template <typename Body>
void for_pieces(const IntRows& w, int bits, int64_t row, const Body& body) {
  int16_t levels[kPiece];
  const std::byte* zeros = w.zeros == nullptr ? nullptr : w.zeros + row / w.group_rows * w.zero_row_bytes;
  for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
    const int64_t end = std::min(begin + w.group, w.cols);
    uint8_t zero = 0;
    if (zeros != nullptr) unpack_bits(zeros, g, 1, bits, &zero);
    for (int64_t c = begin, next; c < end; c = next) {
      next = std::min(end, (c / kPiece + 1) * kPiece);
      unpack_levels(w, bits, w.codes + row * w.row_bytes, zero, c, next - c, levels);
      body(g, c, next - c, levels);
    }
  }
}

template <int kBits, DotInput kInput>
void int_dot(const IntDotCall& call) {
  const IntRows& w = call.w;
  for (int64_t r = call.first; r < call.last; ++r) {
    const int64_t row = w.order == nullptr ? r : w.order[r];
    const std::byte* scales = w.scales + row / w.group_rows * w.scale_row_bytes;
    for (int64_t t = 0; t < call.tokens; ++t) {
      float sum = 0;
      for_pieces(w, kBits, row, [&](int64_t g, int64_t c, int64_t count, const int16_t* levels) {
        if constexpr (kInput == DotInput::kF32) {
          sum += scale_at(w, scales, g) * dot_f32(levels, call.x + t * call.x_stride + c, count);
        } else {
          const int64_t at = t * call.rounded.stride + c;
          const int dot = dot_i8(levels, call.rounded.digits + at, count);
          sum += scale_at(w, scales, g) * call.rounded.scales[at / 4] * static_cast<float>(dot);
        }
      });
      call.y[t * call.y_stride + r] = w.factor * sum;
    }
  }
}

}  // namespace

#define BITLOOM_PORTABLE(name, bits)                                                                  \
  void int_dot_##name##_f32_portable(const IntDotCall& call) { int_dot<bits, DotInput::kF32>(call); } \
  void int_dot_##name##_i8_portable(const IntDotCall& call) { int_dot<bits, DotInput::kInt8>(call); }
BITLOOM_PORTABLE(i2, 2)
BITLOOM_PORTABLE(i3, 3)
BITLOOM_PORTABLE(i4, 4)
BITLOOM_PORTABLE(t4, 4)
BITLOOM_PORTABLE(i5, 5)
BITLOOM_PORTABLE(i6, 6)
BITLOOM_PORTABLE(i7, 7)
BITLOOM_PORTABLE(i8, 8)
#undef BITLOOM_PORTABLE

}  // namespace bitloom
