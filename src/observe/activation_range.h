#pragma once
// Ranges of activations that are rounded by one scale for all tokens, found beforehand from how often values of each
// size occur.

#include <optional>

#include "format/activations/activation_format.h"
#include "observe/histogram.h"
#include "observe/needs.h"

namespace bitloom {

/// Adds what finding a format's range takes: a histogram, or of ranges by outputs the second moment and a sample of
/// tokens, of the size that is asked for already, if any.
void add_range_needs(const ActivationFormat& format, Needs& needs);

/// The format with the range that its rule finds (-at in place of the rule); the range always holds 0.
///   absmax      the least and the greatest value
///   percentile  P: of magnitudes; with zero points the values at 100 - P and P
///   mse         of the absmax range times i / 100, i = 1 .. 100, the first with the least squared error; values are
///               taken as spread evenly over their bin, and errors integrated over each level's cell
///   kl          of the absmax range times i / 128 the first with the least KL(P || Q) (Migacz, 8-bit inference with
///               TensorRT, 2017): P the histogram inside the range, what lies outside added to the outermost bins that
///               are used; Q what rounding leaves of the histogram inside: each level's count spread evenly over the
///               used bins of its cell. Ranges of fewer used bins than levels, for which Q is P, are no candidates but
///               the whole one.
/// nullopt where the scale would be no normal number: nothing was seen, or nothing but zeros, or values next to fp32's
/// largest. Error(kFailed) for a
/// format whose range is not calibrated, or is found by outputs.
std::optional<ActivationFormat> find_range(const ActivationFormat& format, const Histogram& values);

}  // namespace bitloom
