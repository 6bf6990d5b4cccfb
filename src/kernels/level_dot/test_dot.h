#pragma once
// For tests and benchmarks: a product of random codes of some levels with random vectors.

#include <vector>

#include "base/memory/dtype.h"
#include "base/rng.h"
#include "kernels/guarded.h"
#include "kernels/level_dot/level_dot.h"
#include "packing/bitstream.h"

namespace bitloom::testing {

struct LevelShape {
  int bits = 4;
  int64_t rows = 0, cols = 0, group = 0, tokens = 1, group_rows = 1;
  bool permuted = false;
  int half_shift = 0;  // with 8 bits: 7 as E4M3 has, 8 as E5M2
  int levels = 256;    // codes above are no number, and in no row
};

struct RandomLevelDot {
  GuardedVector<std::byte> codes, scales;
  GuardedVector<float> levels, x, y;
  std::vector<int64_t> order;
  LevelDotCall call;

  RandomLevelDot(const LevelShape& shape, uint64_t seed) {
    Rng rng(seed, 0x6c6576656c);
    const auto uniform = [&] { return 2 * static_cast<float>(rng.uniform()) - 1; };
    const int64_t row_bytes = bitstream_bytes(shape.bits, shape.cols);
    const int64_t groups = (shape.cols + shape.group - 1) / shape.group;
    const int64_t scale_rows = (shape.rows + shape.group_rows - 1) / shape.group_rows;
    levels.resize(size_t{1} << shape.bits);
    for (size_t code = 0; code < levels.size(); ++code) {
      levels[code] = shape.half_shift == 0 ? uniform() : half_of(static_cast<uint8_t>(code), shape.half_shift);
      if (static_cast<int>(code) >= shape.levels) levels[code] = std::nanf("");
    }
    std::vector<uint8_t> row(static_cast<size_t>(shape.cols));
    codes.resize(static_cast<size_t>(shape.rows * row_bytes));
    for (int64_t r = 0; r < shape.rows; ++r) {
      for (uint8_t& code : row) {
        do code = static_cast<uint8_t>(rng.next_u32() % (1u << shape.bits));
        while (!std::isfinite(levels[code]));
      }
      pack_bits(row.data(), shape.cols, shape.bits, codes.data() + r * row_bytes);
    }
    std::vector<float> numbers(static_cast<size_t>(scale_rows * groups));
    for (float& scale : numbers) scale = uniform();
    scales.resize(2 * numbers.size());
    encode_from_f32(DType::kF16, numbers.data(), static_cast<int64_t>(numbers.size()), scales.data());
    for (int64_t r = 0; r < shape.rows; ++r) order.push_back(shape.rows - 1 - r);
    x = guarded<float>(shape.tokens * shape.cols, uniform);
    y.assign(static_cast<size_t>(shape.tokens * shape.rows), std::nanf(""));
    IntRows& w = call.w.w;
    w.codes = codes.data(), w.scales = scales.data(), w.order = shape.permuted ? order.data() : nullptr;
    w.rows = shape.rows, w.cols = shape.cols, w.row_bytes = row_bytes;
    w.group = shape.group, w.group_rows = shape.group_rows, w.scale_rows = scale_rows, w.scale_row_bytes = 2 * groups;
    w.factor = 0.75f;
    call.w.bits = shape.bits, call.w.levels = levels.data(), call.w.half_shift = shape.half_shift;
    call.last = shape.rows, call.tokens = shape.tokens, call.x = x.data(), call.y = y.data(),
    call.y_stride = shape.rows;
  }
  RandomLevelDot(const RandomLevelDot&) = delete;

  static float half_of(uint8_t code, int shift) {
    const float size = f16_to_f32(static_cast<uint16_t>((code & 127) << shift));
    return code < 128 ? size : -size;
  }
};

}  // namespace bitloom::testing
