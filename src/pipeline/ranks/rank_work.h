#pragma once
// What ranks do together while a model is walked: statistics of all sequences from those of each rank's share.

#include "base/ranks.h"
#include "observe/input_statistics.h"

namespace bitloom {

/// Every rank's statistics become those of all ranks' tokens, added up in the order of ranks. With one rank nothing
/// changes.
void sum_over_ranks(InputStatistics& statistics, Ranks& ranks);

}  // namespace bitloom
