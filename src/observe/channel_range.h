#pragma once
// Least, greatest and mean value of every channel of a linear site's inputs. Mergeable. Tokens with a non-finite value
// are left out and counted.

#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace bitloom {

class ChannelRange {
 public:
  explicit ChannelRange(int64_t channels = 0);

  /// Adds `tokens` rows of x, `stride` elements apart; rows with a non-finite value are passed over.
  void add(const float* x, int64_t tokens, int64_t stride, ThreadPool& threads);
  /// Adds what `other` has seen. Error(kFailed) when the numbers of channels differ.
  void merge(const ChannelRange& other);

  int64_t channels() const { return static_cast<int64_t>(low_.size()); }
  int64_t tokens() const { return tokens_; }
  int64_t dropped_tokens() const { return dropped_; }
  /// [channels]; zeros when no token was seen.
  std::vector<float> low() const, high() const, absmax() const;
  std::vector<double> mean() const;

  /// For files.
  const std::vector<double>& sums() const { return sums_; }
  static ChannelRange restore(std::vector<float> low, std::vector<float> high, std::vector<double> sums, int64_t tokens,
                              int64_t dropped);

 private:
  int64_t tokens_ = 0, dropped_ = 0;
  std::vector<float> low_, high_;
  std::vector<double> sums_;
};

}  // namespace bitloom
