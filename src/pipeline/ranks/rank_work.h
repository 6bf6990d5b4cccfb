#pragma once
// What ranks do together: statistics of all sequences from those of each rank's share, values of which each makes some.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/ranks.h"
#include "observe/input_statistics.h"

namespace bitloom {

/// Every rank's statistics become those of all ranks' tokens, added up in the order of ranks. With one rank nothing
/// changes.
void sum_over_ranks(InputStatistics& statistics, Ranks& ranks);

/// make(i) of i < count, on every rank; each makes its share. The same values for any number of ranks where make(i)
/// gives the same on all.
std::vector<std::vector<double>> made_by_ranks(int64_t count, Ranks& ranks,
                                               const std::function<std::vector<double>(int64_t)>& make);

}  // namespace bitloom
