#pragma once
// What ranks do together: statistics of all sequences from those of each rank's share, and rows of a matrix rounded by
// different ranks. With one rank these are the functions they are named after.

#include <memory>
#include <optional>
#include <string>

#include "observe/input_statistics.h"
#include "pipeline/ranks.h"
#include "round/feedback.h"

namespace bitloom {

/// Every rank's statistics become those of all ranks' tokens, added up in the order of ranks.
void sum_over_ranks(InputStatistics& statistics, Ranks& ranks);

/// quantize_with_feedback() with whole tiles of rows shared out: the same bytes for any number of ranks, given the same
/// factor.
std::shared_ptr<const StoredMatrix> quantize_with_feedback(const std::string& name, const RowSource& w,
                                                           const GridTarget& target, const FeedbackFactor& factor,
                                                           bool static_groups, Ranks& ranks, ThreadPool& threads,
                                                           FeedbackReport& report);

/// output_error() over output_energy(), rows shared out; nothing when the energy is 0.
std::optional<double> relative_output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment,
                                            Ranks& ranks, ThreadPool& threads);

}  // namespace bitloom
