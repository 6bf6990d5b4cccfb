#pragma once
// Which columns of a matrix get more: more bits (Adaptive Precision) and more weights kept in fp16 (Outlier
// Reservation). CLAQ, Wang et al. 2024; papers' column-wise page, 3.2 to 3.5 and 3.10.
//
// Outlier Order: columns by falling number of outliers, c_j = #{i : |w_ij| >= t mean |W|}, of the original weights;
// columns of equal c_j, which with t = 13 are most of them, by falling H_jj, then by their place.

#include <cstdint>
#include <string>
#include <vector>

#include "round/column_loop/codebook_columns.h"

namespace bitloom {

/// Columns, greatest first; equal scores by falling `tie_break`, then by place.
std::vector<int64_t> by_falling(const std::vector<double>& scores, const std::vector<float>& tie_break);

/// c_j by column, W [rows, cols].
std::vector<double> outlier_counts(const std::vector<float>& w, int64_t rows, int64_t cols, double threshold);
/// By column the mean of w_ij^2 times its cost (1 / U_jj^2: what an error costs once later columns compensate).
std::vector<double> saliencies(const std::vector<float>& w, int64_t rows, int64_t cols,
                               const std::vector<float>& costs);

/// Bits of the columns that have fewer and of those that have more.
struct WidthPair {
  int narrow = 0, wide = 0;
};
/// Of a mean width of `milli_bits` / 1000. 0: as published, that is columns of 2 and 4 bits below 3, of 3 and 4 below
/// 4; else the whole bits below the mean, and one more. Error(kUsage), starting with `place`, for a mean that columns
/// of such widths cannot have.
WidthPair width_pair(const std::string& place, int64_t milli_bits, int64_t narrow, int64_t wide);
/// Bits by column: the first round(f d) of `ranked` are wide, f = (mean - narrow) / (wide - narrow); halves to even.
std::vector<int> ranked_widths(const std::vector<int64_t>& ranked, int64_t milli_bits, const WidthPair& pair);

/// errors[j][b]: squared error of column j, times its cost, with b bits, b from pair.narrow to pair.wide. Bits by
/// column such that their sum is at most the mean's: each further bit goes where it takes away most.
std::vector<int> widths_by_gain(const std::vector<std::vector<double>>& errors, int64_t milli_bits,
                                const WidthPair& pair);

/// Shares of a column's weights that each tail keeps.
struct Reservation {
  double share = 0;       // of most columns
  double most_share = 0;  // of the first `most_columns` of the order
  double most_columns = 0.1;
  /// Of all weights, both tails, at most.
  double mean() const { return 2 * (most_columns * most_share + (1 - most_columns) * share); }
};
/// By column: 2 n share weights of the greatest magnitude, rounded down, so never more than mean().
std::vector<KeptCounts> kept_by_magnitude(const std::vector<int64_t>& ranked, int64_t rows, const Reservation& shares);
/// As CLAQ's code keeps them: every weight from the one at round(n share) of the falling order up, and from that at
/// round(n (1 - share)) down; halves to even. With n = 4096, 33 of a share of 0.004 and 115 of 0.014.
KeptCounts published_counts(int64_t rows, double share);
/// By column. `bug_order` empty, or the order of the loop: then, as in CLAQ's code, a column at position p keeps what
/// that at p mod 128 should.
std::vector<KeptCounts> kept_as_published(const std::vector<int64_t>& ranked, int64_t rows, const Reservation& shares,
                                          const std::vector<int64_t>& bug_order);

}  // namespace bitloom
