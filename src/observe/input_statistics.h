#pragma once
// What the data says about one input: everything that rounding and transforms may ask for. It belongs to a place where
// activations are read, so to all linear layers that read there; what belongs to one layer alone (moments of its
// outputs, of tokens weighted for it) is a value of its own beside this one.

#include <optional>

#include "observe/channel_range.h"
#include "observe/histogram.h"
#include "observe/moment/cross_moment.h"
#include "observe/moment/second_moment.h"
#include "observe/needs.h"
#include "observe/token_sample.h"

namespace bitloom {

/// Of the first half of the sequences alone, by which a correction is judged on tokens that it was not made from.
struct HalfMoments {
  SecondMoment moment;
  CrossMoment cross;
};

struct InputStatistics {
  /// Nothing seen yet. Ranges and means cost a few vectors and are always gathered.
  explicit InputStatistics(int64_t channels, const Needs& needs = {.second_moment = true});

  /// Adds `tokens` rows of x [tokens, channels], contiguous. f: of the same tokens, what the float model's layer reads;
  /// read only when there is a cross moment. Rows with a non-finite value are left out and counted. `first`: the first
  /// one's number, by which a sample tells tokens apart; the others' follow. The first `half_tokens` rows are of the
  /// first half of the sequences.
  void add(const float* f, const float* x, int64_t tokens, ThreadPool& threads, int64_t first = 0,
           int64_t half_tokens = 0);

  int64_t channels() const { return range.channels(); }
  int64_t tokens() const { return range.tokens(); }
  int64_t dropped_tokens() const { return range.dropped_tokens(); }
  /// Channels whose squares are all 0: no token uses them.
  int64_t dead_channels() const;

  ChannelRange range;
  std::optional<SecondMoment> moment;
  std::optional<CrossMoment> cross;
  std::optional<HalfMoments> half;
  std::optional<Histogram> histogram;
  std::optional<TokenSample> sample;
};

}  // namespace bitloom
