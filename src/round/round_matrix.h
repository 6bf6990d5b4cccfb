#pragma once
// The only way codes arise, with data or without: a matrix, what it is to be stored as, what is known of its inputs and
// a method give a stored matrix and a report.

#include "round/problem.h"
#include "round/rounding.h"

namespace bitloom {

/// W by the method. Error(kUsage) for a storage whose codes it cannot choose; Error(kFailed) when statistics that it
/// needs are missing, or as its own header says; Error(kRefused) for weights that are not finite. All start with
/// `place`. A storage in a frame (format/side/frame.h) is rounded in its coordinates, whatever the method; its
/// in_scales are 1, its out_scales the rows' root mean squares over the matrix's. The same bytes for any number of
/// threads, and of ranks given the same statistics.
Rounded round_matrix(const Rounding& rounding, const RoundingProblem& problem);

}  // namespace bitloom
