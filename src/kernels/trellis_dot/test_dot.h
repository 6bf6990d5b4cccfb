#pragma once
// For tests and benchmarks: a product of random bits with random vectors.

#include <random>
#include <vector>

#include "format/families/trellis/trellis_code.h"
#include "kernels/guarded.h"
#include "kernels/int_dot/round_input.h"
#include "kernels/trellis_dot/trellis_dot.h"

namespace bitloom::testing {

struct RandomTrellisDot {
  GuardedVector<uint16_t> words;
  GuardedVector<int8_t> digits;
  GuardedVector<float> scales, y;
  GuardedVector<int32_t> high, rest;
  TrellisDotCall call;

  RandomTrellisDot(const TrellisCode& code, int64_t rows, int64_t cols, int64_t tokens, DotInput input, uint32_t seed)
      : words(static_cast<size_t>((rows + 15) / 16 * ((cols + 31) / 32 * 2) * code.words())),
        y(static_cast<size_t>(tokens * rows)) {
    std::mt19937 random(seed);
    for (uint16_t& word : words) word = static_cast<uint16_t>(random());
    call.w = {reinterpret_cast<const std::byte*>(words.data()),
              rows,
              cols,
              code.values,
              code.half_bits,
              kTrellisHash,
              kTrellisMix,
              kTrellisTable.data(),
              0.01f};
    call.planes = input == DotInput::kInt8 ? 1 : 3;
    call.first = 0, call.last = (rows + kTrellisRows - 1) / kTrellisRows;
    call.tokens = tokens, call.y = y.data(), call.y_stride = rows;
    const int64_t stride = (cols + kInputPadding - 1) / kInputPadding * kInputPadding;
    const int64_t lanes = stride / lane_columns(InputOrder::kNatural);
    digits.resize(static_cast<size_t>(tokens * call.planes * stride));
    scales.resize(static_cast<size_t>(tokens * lanes));
    high.resize(scales.size()), rest.resize(scales.size());
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<size_t>(cols));
    for (int64_t t = 0; t < tokens; ++t) {
      for (float& value : x) value = normal(random);
      round_input(x.data(), cols, input, InputOrder::kNatural,
                  {digits.data() + t * call.planes * stride, scales.data() + t * lanes, high.data() + t * lanes,
                   rest.data() + t * lanes, stride});
    }
    call.x = {digits.data(), scales.data(), high.data(), rest.data(), stride};
  }
};

}  // namespace bitloom::testing
