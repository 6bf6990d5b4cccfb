#pragma once
// What the data says about one linear site's inputs: everything that rounding and transforms may ask for.

#include <optional>

#include "observe/channel_range.h"
#include "observe/cross_moment.h"
#include "observe/second_moment.h"

namespace bitloom {

struct InputStatistics {
  explicit InputStatistics(int64_t channels) : moment(channels), range(channels) {}

  SecondMoment moment;
  ChannelRange range;
  std::optional<CrossMoment> cross;  // only when something asks for it
};

}  // namespace bitloom
