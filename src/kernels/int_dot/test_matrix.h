#pragma once
// For tests and benchmarks: a random matrix and random inputs for a kernel of the list.

#include <cmath>
#include <cstring>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "kernels/int_dot/int_dot.h"

namespace bitloom::testing {

struct DotShape {
  int64_t rows = 0, cols = 0, tokens = 1, group = 0, group_rows = 1;
  ScaleKind scales = ScaleKind::kF16;
  bool permuted = false;
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Owns exactly the bytes that the call may touch, so that a sanitizer sees any step beyond.
class RandomDot {
 public:
  RandomDot(const DotShape& shape, int bits, uint64_t seed) : rng_(seed, 0x696e74646f74) {
    const int64_t groups = ceil_div(shape.cols, shape.group), scale_rows = ceil_div(shape.rows, shape.group_rows);
    const int64_t row_bytes = ceil_div(shape.cols * bits, 8), padded = ceil_div(shape.cols, kInt8Block) * kInt8Block;
    fill_codes(shape, bits, row_bytes);
    const DType dtype = shape.scales == ScaleKind::kF32   ? DType::kF32
                        : shape.scales == ScaleKind::kF16 ? DType::kF16
                                                          : DType::kBF16;
    scales_.resize(static_cast<size_t>(bytes_of(dtype, scale_rows * groups)));
    const std::vector<float> scales = values(scale_rows * groups);
    encode_from_f32(dtype, scales.data(), scale_rows * groups, scales_.data());
    for (int64_t r = 0; r < shape.rows; ++r) order_.push_back(shape.rows - 1 - r);
    x_ = values(shape.tokens * shape.cols), block_scales_ = values(shape.tokens * padded / kInt8Block);
    x8_.resize(static_cast<size_t>(shape.tokens * padded));
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t c = 0; c < shape.cols; ++c) {
        x8_[static_cast<size_t>(t * padded + c)] = static_cast<int8_t>(static_cast<int>(rng_.next_u32() % 255) - 127);
      }
    }
    y_.resize(static_cast<size_t>(shape.tokens * shape.rows), std::nanf(""));
    call.w = {codes_.data(),
              scales_.data(),
              shape.permuted ? order_.data() : nullptr,
              shape.cols,
              row_bytes,
              shape.group,
              shape.group_rows,
              bytes_of(dtype, groups),
              shape.scales};
    call.last = shape.rows, call.tokens = shape.tokens;
    call.x = x_.data(), call.x_stride = shape.cols;
    call.x8 = x8_.data(), call.block_scales = block_scales_.data(), call.x8_stride = padded;
    call.y = y_.data(), call.y_stride = shape.rows;
  }

  IntDotCall call;

 private:
  void fill_codes(const DotShape& shape, int bits, int64_t row_bytes) {
    codes_.resize(static_cast<size_t>(shape.rows * row_bytes));
    for (std::byte& byte : codes_) byte = static_cast<std::byte>(rng_.next_u32());
    if (shape.cols * bits % 8 == 0) return;
    for (int64_t r = 0; r < shape.rows; ++r) codes_[static_cast<size_t>((r + 1) * row_bytes - 1)] &= std::byte{15};
  }
  std::vector<float> values(int64_t count) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& value : out) value = static_cast<float>(rng_.next_u32()) * 0x1p-31f - 1.0f;
    return out;
  }

  Rng rng_;
  std::vector<std::byte> codes_, scales_;
  std::vector<int64_t> order_;
  std::vector<float> x_, block_scales_, y_;
  std::vector<int8_t> x8_;
};

}  // namespace bitloom::testing
