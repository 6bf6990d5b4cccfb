#pragma once
// How often values of each size occur, over all channels of an input: for percentile ranges. Mergeable.
//
//   bin s in [-bins/2, bins/2) counts the values with floor(v / width) = s;  width = 2^k
//
// The range doubles when a value lies outside: floor(v / 2^(k+1)) = floor(floor(v / 2^k) / 2), so pairs of neighbouring
// bins add up without error and the counts depend on the values alone, not on the order of adding and merging. k is the
// least at which every value seen lies inside (at least -149: then a bin is the smallest float).

#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace bitloom {

class Histogram {
 public:
  /// `bins`: even, 2 .. 2^24. Error(kFailed) otherwise.
  explicit Histogram(int64_t bins = 4096);

  /// Adds the values of `tokens` rows of x [tokens, channels], `stride` elements apart; rows with a non-finite value
  /// are passed over.
  void add(const float* x, int64_t tokens, int64_t channels, int64_t stride, ThreadPool& threads);
  /// Adds what `other` has seen. Error(kFailed) when the numbers of bins differ.
  void merge(const Histogram& other);

  /// What counts(), exponent(), low() and high() told. Error(kFailed) where no values give these.
  static Histogram restore(std::vector<int64_t> counts, int64_t exponent, float low, float high);

  int64_t count() const { return count_; }
  double width() const;
  /// k: width() = 2^k.
  int exponent() const { return exponent_; }
  /// [bins], the first for s = -bins/2.
  const std::vector<int64_t>& counts() const { return counts_; }
  /// Exact; 0 when nothing was seen.
  float low() const { return low_ + 0.0f; }
  float high() const { return high_ + 0.0f; }

  /// The smallest value such that at least `percent` (0 .. 100) percent of all are not above it; 0 when nothing was
  /// seen. The middle of the value's bin, cut to [low, high]: off by at most width / 2 <= 2 max |v| / bins. Exact where
  /// it is the least or the greatest value.
  double percentile(double percent) const;
  /// The same for magnitudes.
  double absolute_percentile(double percent) const;

 private:
  void grow_to(float low, float high);
  void coarsen();

  std::vector<int64_t> counts_;
  int exponent_;  // k
  int64_t count_ = 0;
  float low_ = 0, high_ = 0;
};

}  // namespace bitloom
