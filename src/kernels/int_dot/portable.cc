// Kernels for any machine, in plain loops that a compiler can vectorise. Those of fp32 serve any group size.

#include <algorithm>
#include <array>

#include "kernels/int_dot/group_numbers.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr int64_t kPiece = 32;  // columns whose levels are unpacked at a time
static_assert(kPiece == kInputBlock);

/// Levels of columns [first, first + count) of a row, of one piece.
template <CodeKind kCodes>
void unpack_levels(const IntRows& w, int bits, const std::byte* row, int64_t first, int64_t count, int16_t* levels) {
  uint8_t codes[kPiece];
  if constexpr (kCodes == CodeKind::kMixed) {
    const CodeRun& run = w.runs[first / kRunColumns];
    unpack_bits(row + run.start, first % kRunColumns, count, run.bits, codes);
  } else {
    unpack_bits(row, first, count, bits, codes);
  }
  const int half = 1 << (bits - 1);
  for (int64_t i = 0; i < count; ++i) {
    const int code = codes[i];
    const int level = kCodes == CodeKind::kSign    ? 2 * code - 1
                      : kCodes == CodeKind::kTable ? w.levels[code]
                      : w.zeros != nullptr         ? code
                                                   : (code ^ half) - half;
    levels[i] = static_cast<int16_t>(level);
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

/// body(group, first, count, levels) for all pieces of a row: none crosses a group's or a block's border. Zero points
/// that are integers are taken from the levels.
template <CodeKind kCodes, typename Body>
void for_pieces(const IntRows& w, int bits, int64_t row, const Body& body) {
  int16_t levels[kPiece];
  for (int64_t g = 0, begin = 0; begin < w.cols; ++g, begin += w.group) {
    const int64_t end = std::min(begin + w.group, w.cols);
    const GroupNumbers group = group_numbers(w, bits, row / w.group_rows, g);
    for (int64_t c = begin, next; c < end; c = next) {
      next = std::min(end, (c / kPiece + 1) * kPiece);
      unpack_levels<kCodes>(w, bits, w.codes + row * w.row_bytes, c, next - c, levels);
      if (!w.real_zeros) {
        for (int64_t i = 0; i < next - c; ++i)
          levels[i] = static_cast<int16_t>(levels[i] - static_cast<int>(group.zero));
      }
      body(group, c, next - c, levels);
    }
  }
}

/// All ones: their product with x is its sum.
constexpr auto kOnes = [] {
  std::array<int16_t, kPiece> ones{};
  ones.fill(1);
  return ones;
}();

template <CodeKind kCodes, int kBits, DotInput kInput>
void int_dot(const IntDotCall& call) {
  const IntRows& w = call.w;
  for (int64_t r = call.first; r < call.last; ++r) {
    const int64_t row = w.order == nullptr ? r : w.order[r];
    for (int64_t t = 0; t < call.tokens; ++t) {
      float sum = 0;
      for_pieces<kCodes>(w, kBits, row,
                         [&](const GroupNumbers& group, int64_t c, int64_t count, const int16_t* levels) {
                           if constexpr (kInput == DotInput::kF32) {
                             const float* x = call.x + t * call.x_stride + c;
                             float dot = dot_f32(levels, x, count);
                             if (w.real_zeros) dot -= group.zero * dot_f32(kOnes.data(), x, count);
                             sum += group.scale * dot;
                           } else {
                             const int64_t at = t * call.rounded.stride + c;
                             const int8_t* x = call.rounded.digits + at;
                             auto dot = static_cast<float>(dot_i8(levels, x, count));
                             if (w.real_zeros) dot -= group.zero * static_cast<float>(dot_i8(kOnes.data(), x, count));
                             sum += group.scale * call.rounded.scales[at / 4] * dot;
                           }
                         });
      call.y[t * call.y_stride + r] = w.factor * sum;
    }
  }
}

}  // namespace

#define BITLOOM_PORTABLE(name, codes, bits)                                                                            \
  void int_dot_##name##_f32_portable(const IntDotCall& call) { int_dot<CodeKind::codes, bits, DotInput::kF32>(call); } \
  void int_dot_##name##_i8_portable(const IntDotCall& call) { int_dot<CodeKind::codes, bits, DotInput::kInt8>(call); }
BITLOOM_PORTABLE(i2, kInteger, 2)
BITLOOM_PORTABLE(i3, kInteger, 3)
BITLOOM_PORTABLE(i4, kInteger, 4)
BITLOOM_PORTABLE(t4, kTable, 4)
BITLOOM_PORTABLE(i5, kInteger, 5)
BITLOOM_PORTABLE(i6, kInteger, 6)
BITLOOM_PORTABLE(i7, kInteger, 7)
BITLOOM_PORTABLE(i8, kInteger, 8)
BITLOOM_PORTABLE(sign, kSign, 1)
BITLOOM_PORTABLE(mixed, kMixed, kMostMixedBits)
#undef BITLOOM_PORTABLE

}  // namespace bitloom
