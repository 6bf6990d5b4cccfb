#pragma once
// Activations rounded to 8 bits in blocks of 32 columns: what integer kernels read, made once for all readers of an
// input.

#include <cstdint>
#include <vector>

namespace bitloom {

/// Buffers that only grow; kept from product to product, so that a decode step allocates nothing.
class InputBlocks {
 public:
  /// Rounds x [tokens, cols], dense. Per block of 32 columns (the last may be shorter), to nearest, ties to even:
  ///   scale = max |x| / 127,  value = round(x / scale) in -127..127;  0 and 0 where all are 0, or below fp32's normal
  ///   numbers
  /// A block with a value that is not finite gets a scale of NaN, so that its products are seen to be none.
  void round(const float* x, int64_t tokens, int64_t cols);

  int64_t stride() const { return stride_; }               // cols rounded up to whole blocks
  const int8_t* values() const { return values_.data(); }  // [tokens, stride], 0 beyond cols
  const float* scales() const { return scales_.data(); }   // [tokens, stride / 32]

 private:
  int64_t stride_ = 0;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
};

}  // namespace bitloom
