#pragma once
// How the inputs of a linear site differ between the float model and the quantized prefix, correlated with the inputs
// the site really gets:
//
//   sum [d, d] = sum over tokens t of (f_t - x_t) x_t^T      f_t the float model's input, x_t the quantized prefix's
//
// What GPTAQ and layer-wise learned rounding with float targets need beyond the second moment: the layer's wanted
// output is W f_t, it can only make Q x_t. Products in fp32 over panels, added up in fp32 (a correction, not a
// factor: its rounding is far below its own sampling error); the same bytes for any number of threads. Pairs with a
// non-finite value are left out.

#include <cstdint>
#include <utility>
#include <vector>

#include "base/threads.h"

namespace bitloom {

class CrossMoment {
 public:
  explicit CrossMoment(int64_t channels);

  /// Rows of f and x belong together, both [tokens, channels] with the same stride.
  void add(const float* f, const float* x, int64_t tokens, int64_t stride, ThreadPool& threads);
  void merge(const CrossMoment& other);

  int64_t channels() const { return channels_; }
  int64_t tokens() const { return tokens_; }
  /// out [d, d] fp32: sum / tokens; row i: error channel, column j: input channel.
  void copy_to(float* out, ThreadPool& threads) const;
  const std::vector<float>& sums() const& { return sums_; }
  std::vector<float> sums() && { return std::move(sums_); }
  static CrossMoment restore(int64_t channels, int64_t tokens, std::vector<float> sums);

 private:
  int64_t channels_, tokens_ = 0;
  std::vector<float> sums_;  // [d, d]
};

}  // namespace bitloom
