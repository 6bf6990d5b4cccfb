#pragma once
// For tests and benchmarks: a random matrix and random inputs for a kernel of the list.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/memory/dtype.h"
#include "base/rng.h"
#include "kernels/guarded.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/round_input.h"

namespace bitloom::testing {

struct DotShape {
  int64_t rows = 0, cols = 0, tokens = 1, group = 0, group_rows = 1;
  ScaleKind scales = ScaleKind::kF16;
  bool permuted = false, zeros = false;
  float largest = 1;        // of x
  bool real_zeros = false;  // with zeros: numbers; their kind is kF16, or kSecond of so many bits
  int second_bits = 0;
  int64_t second_rows = 4;
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Owns exactly the bytes that the call may touch, guarded against any step beyond.
class RandomDot {
 public:
  RandomDot(const DotShape& shape, const IntDotEntry& entry, uint64_t seed) : rng_(seed, 0x696e74646f74) {
    const int64_t groups = ceil_div(shape.cols, shape.group), scale_rows = ceil_div(shape.rows, shape.group_rows);
    int64_t row_bytes = ceil_div(shape.cols * entry.bits, 8), zero_bytes = ceil_div(groups * entry.bits, 8);
    if (entry.codes == CodeKind::kMixed) row_bytes = make_runs(shape.cols, shape.group);
    codes_ =
        entry.codes == CodeKind::kMixed ? stream(shape.rows, row_bytes, 8) : stream(shape.rows, shape.cols, entry.bits);
    int64_t scale_row_bytes = groups * scale_bytes(shape.scales);
    if (shape.second_bits > 0) {
      scales_ = stream(scale_rows, groups, shape.second_bits), zeros_ = stream(scale_rows, groups, shape.second_bits);
      second_ = halves(4 * groups * ceil_div(scale_rows, shape.second_rows));
      scale_row_bytes = zero_bytes = ceil_div(groups * shape.second_bits, 8);
    } else {
      fill_scales(shape.scales, scale_rows * groups);
      if (shape.real_zeros) zeros_ = halves(scale_rows * groups), zero_bytes = 2 * groups;
      if (shape.zeros && !shape.real_zeros) zeros_ = stream(scale_rows, groups, entry.bits);
    }
    order_ = guarded<int64_t>(shape.rows, [next = shape.rows]() mutable { return --next; });
    levels_ = guarded<int8_t>(int64_t{1} << entry.bits,
                              [code = -1]() mutable { return static_cast<int8_t>(++code * 37 - 128); });
    x_ = values(shape.tokens * shape.cols, shape.largest);
    y_.resize(static_cast<size_t>(shape.tokens * shape.rows), std::nanf(""));
    IntRows& w = call.w;
    w.codes = codes_.data(), w.scales = scales_.data(), w.zeros = shape.zeros ? zeros_.data() : nullptr;
    w.levels = entry.codes == CodeKind::kTable ? levels_.data() : nullptr,
    w.order = shape.permuted ? order_.data() : nullptr;
    w.rows = shape.rows, w.cols = shape.cols, w.row_bytes = row_bytes;
    w.group = shape.group, w.group_rows = shape.group_rows, w.scale_rows = scale_rows;
    w.scale_row_bytes = scale_row_bytes, w.zero_row_bytes = zero_bytes, w.real_zeros = shape.real_zeros;
    w.scale_kind = shape.second_bits > 0 ? ScaleKind::kSecond : shape.scales, w.factor = 0.75f;
    if (shape.second_bits > 0) w.second = {second_.data(), shape.second_bits, shape.second_rows, 8 * groups};
    w.runs = runs_.data();
    call.last = shape.rows, call.tokens = shape.tokens;
    call.x = x_.data(), call.x_stride = shape.cols;
    call.y = y_.data(), call.y_stride = shape.rows;
    if (entry.input != DotInput::kF32) round(entry);
  }

  IntDotCall call;

  /// All codes of one byte, all inputs `value`.
  void fill(std::byte codes, float value, const IntDotEntry& entry) {
    std::fill(codes_.begin(), codes_.end(), codes);
    std::fill(x_.begin(), x_.end(), value);
    if (entry.input != DotInput::kF32) round(entry);
  }

 private:
  GuardedVector<std::byte> stream(int64_t rows, int64_t count, int bits) {
    const int64_t row_bytes = ceil_div(count * bits, 8);
    GuardedVector<std::byte> out(static_cast<size_t>(rows * row_bytes));
    for (std::byte& byte : out) byte = static_cast<std::byte>(rng_.next_u32());
    const int used = static_cast<int>(count * bits % 8);
    for (int64_t r = 0; used != 0 && r < rows; ++r) {
      out[static_cast<size_t>((r + 1) * row_bytes - 1)] &= static_cast<std::byte>((1 << used) - 1);
    }
    return out;
  }
  /// Groups of 1 to 6 bits, each in whole bytes; the bytes of a row.
  int64_t make_runs(int64_t cols, int64_t group) {
    int32_t start = 0;
    for (int64_t begin = 0; begin < cols; begin += group) {
      const int32_t bits = static_cast<int32_t>(begin / group * 5 + 1) % kMostMixedBits + 1;
      const int64_t count = std::min(group, cols - begin);
      for (int64_t c = 0; c < count; c += kRunColumns)
        runs_.push_back({start + static_cast<int32_t>(c * bits / 8), bits});
      start += static_cast<int32_t>(ceil_div(count * bits, 8));
    }
    runs_.shrink_to_fit();
    return start;
  }
  GuardedVector<std::byte> halves(int64_t count) {
    GuardedVector<std::byte> out(static_cast<size_t>(2 * count));
    encode_from_f32(DType::kF16, values(count, 4).data(), count, out.data());
    return out;
  }
  void fill_scales(ScaleKind kind, int64_t count) {
    scales_.resize(static_cast<size_t>(count * scale_bytes(kind)));
    const GuardedVector<float> scales = values(count, 1);
    constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
    if (scale_bytes(kind) > 1) {
      encode_from_f32(kTypes[static_cast<int>(kind)], scales.data(), count, scales_.data());
    } else {  // exponents 0, and around 1; E4M3 without sign and NaN
      for (std::byte& byte : scales_) {
        byte = static_cast<std::byte>(kind == ScaleKind::kE8M0 ? 120 + rng_.next_u32() % 16 : rng_.next_u32() % 127);
      }
      scales_[0] = std::byte{0};
    }
  }
  void round(const IntDotEntry& entry) {
    const int64_t cols = call.w.cols, tokens = call.tokens, stride = ceil_div(cols, kInputPadding) * kInputPadding;
    const int64_t planes = entry.input == DotInput::kInt8 ? 1 : 3, lanes = stride / lane_columns(entry.order);
    digits_.resize(static_cast<size_t>(tokens * planes * stride));
    block_scales_.resize(static_cast<size_t>(tokens * lanes));
    high_.resize(block_scales_.size()), rest_.resize(block_scales_.size());
    for (int64_t t = 0; t < tokens; ++t) {
      round_input(call.x + t * cols, cols, entry.input, entry.order,
                  {digits_.data() + t * planes * stride, block_scales_.data() + t * lanes, high_.data() + t * lanes,
                   rest_.data() + t * lanes, stride});
    }
    call.rounded = {digits_.data(), block_scales_.data(), high_.data(), planes == 3 ? rest_.data() : nullptr, stride};
    const int64_t groups = ceil_div(cols, call.w.group);
    sums_.resize(static_cast<size_t>(tokens * groups));
    for (int64_t t = 0; t < tokens; ++t) {
      sum_groups(call.rounded, entry.order, t, cols, call.w.group, sums_.data() + t * groups);
    }
    call.group_sums = sums_.data();
  }
  GuardedVector<float> values(int64_t count, float largest) {
    GuardedVector<float> out(static_cast<size_t>(count));
    for (float& value : out) value = largest * (static_cast<float>(rng_.next_u32()) * 0x1p-31f - 1.0f);
    return out;
  }

  Rng rng_;
  GuardedVector<std::byte> codes_, scales_, zeros_, second_;
  GuardedVector<CodeRun> runs_;
  GuardedVector<int8_t> levels_;
  GuardedVector<int64_t> order_;
  GuardedVector<float> x_, block_scales_, sums_, y_;
  GuardedVector<int32_t> high_, rest_;
  GuardedVector<int8_t> digits_;
};

}  // namespace bitloom::testing
