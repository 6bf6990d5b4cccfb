// Kernels for any machine, in plain loops that a compiler can vectorise. These serve any group size.

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "kernels/int_dot/int_dot.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 32;  // columns whose levels are unpacked at a time
static_assert(kPiece == kInt8Block);

float scale_at(const IntRows& w, const std::byte* scales, int64_t g) {
  uint16_t half = 0;
  float single = 0;
  switch (w.scale_kind) {
    case ScaleKind::kF32:
      std::memcpy(&single, scales + 4 * g, sizeof single);
      return single;
    case ScaleKind::kF16:
      std::memcpy(&half, scales + 2 * g, sizeof half);
      return f16_to_f32(half);
    case ScaleKind::kBF16:
      std::memcpy(&half, scales + 2 * g, sizeof half);
      return bf16_to_f32(half);
  }
  return 0;
}

/// Levels of columns [first, first + count) of a row, count <= kPiece.
template <int kBits>
void unpack_levels(const std::byte* codes, int64_t first, int64_t count, int8_t* levels) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = first + i;
    if constexpr (kBits == 8) {
      levels[i] = static_cast<int8_t>(codes[c]);
    } else {
      const int nibble = std::to_integer<int>(codes[c / 2]) >> (c % 2 * 4) & 15;
      levels[i] = static_cast<int8_t>((nibble ^ 8) - 8);
    }
  }
}

/// sum of levels[i] * x[i], in lanes whose order never changes.
float dot_f32(const int8_t* levels, const float* x, int64_t count) {
  float lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += static_cast<float>(levels[i + lane]) * x[i + lane];
  }
  for (; i < count; ++i) lanes[i % 8] += static_cast<float>(levels[i]) * x[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

int dot_i8(const int8_t* levels, const int8_t* x, int64_t count) {
  int sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += levels[i] * x[i];
  return sum;
}

/// body(g, first, count, levels) for all pieces of a row: none crosses a group's or a block's border.
template <int kBits, typename Body>
void for_pieces(const IntRows& w, int64_t row, const Body& body) {
  int8_t levels[kPiece];
  for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
    const int64_t end = std::min(begin + w.group, w.cols);
    for (int64_t c = begin; c < end; c += kPiece) {
      const int64_t count = std::min(kPiece, end - c);
      unpack_levels<kBits>(w.codes + row * w.row_bytes, c, count, levels);
      body(g, c, count, levels);
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
      for_pieces<kBits>(w, row, [&](int64_t g, int64_t c, int64_t count, const int8_t* levels) {
        if constexpr (kInput == DotInput::kF32) {
          sum += scale_at(w, scales, g) * dot_f32(levels, call.x + t * call.x_stride + c, count);
        } else {
          const float block = call.block_scales[(t * call.x8_stride + c) / kInt8Block];
          const int dot = dot_i8(levels, call.x8 + t * call.x8_stride + c, count);
          sum += scale_at(w, scales, g) * block * static_cast<float>(dot);
        }
      });
      call.y[t * call.y_stride + r] = sum;
    }
  }
}

}  // namespace

void int_dot_i4_f32_portable(const IntDotCall& call) { int_dot<4, DotInput::kF32>(call); }
void int_dot_i8_f32_portable(const IntDotCall& call) { int_dot<8, DotInput::kF32>(call); }
void int_dot_i4_q8_portable(const IntDotCall& call) { int_dot<4, DotInput::kInt8>(call); }
void int_dot_i8_q8_portable(const IntDotCall& call) { int_dot<8, DotInput::kInt8>(call); }

}  // namespace bitloom
