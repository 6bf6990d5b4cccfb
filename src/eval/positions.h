#pragma once
// Where in a text a model departs from its reference: by place in the window, and passage by passage.

#include <cstdint>
#include <span>
#include <vector>

#include "eval/row_math.h"
#include "eval/statistics/interval.h"
#include "eval/windows.h"

namespace bitloom {

/// Scored positions at one range of places in the window. Place t is that of the token that is predicted.
struct PositionBin {
  int64_t first = 0, last = 0;
  MeanInterval kl;
};

/// KL over the places from the first scored to the last, cut into at most `bins` ranges of equal width (the last may be
/// shorter). `rows` are the windows' scored positions in order, as divergence_rows() gives them.
std::vector<PositionBin> kl_by_position(std::span<const RowDivergence> rows, const TextWindows& windows, int64_t bins);

/// Consecutive scored tokens of one window: tokens[first .. first + count - 1] of it, and rows[row ...] of the text.
struct TokenSpan {
  int64_t window = 0, first = 0, count = 0, row = 0;
  double kl = 0;  // mean
};

/// The `count` spans of `length` scored tokens with the highest mean KL that do not overlap, worst first; a window
/// shorter than that is one span. Chosen greedily: the worst, then the worst that does not touch it, and so on; among
/// equals the earliest.
std::vector<TokenSpan> worst_spans(std::span<const RowDivergence> rows, const TextWindows& windows, int64_t length,
                                   int64_t count);

}  // namespace bitloom
