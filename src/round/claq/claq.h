#pragma once
// CLAQ (Wang et al. 2024, 2405.17233; papers' column-wise page, section 3): error feedback onto column codebooks, where
// columns that matter more get more bits and keep more weights in fp16.
//
//   w~_j  column j, compensated for the errors of the columns before it
//   C_j   k-means of w~_j without its kept weights, 2^{bits_j} levels in fp16
//   q_ij  the nearest of C_j, or w~_ij in fp16 where it is kept;   e_j = (w~_j - q_j) / U_jj is fed forward
//
// Beyond the paper, unless `parity` says otherwise: rows are divided by their root mean square first (3.9), and
// afterwards tables and codes are refined over the whole matrix (round/claq/refine.h). `parity` reproduces the paper
// or its code, which differ (3.6).
//
// Goals: storages "codebookB-col" of any mean width from 1 to 8. Non-goals: allocation across matrices.

#include <cstdint>
#include <vector>

#include "round/gptq/gptq_factor.h"
#include "round/round_matrix.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "claq".
struct ClaqRounding {
  enum class Allocation {
    kOutliers,  // Outlier Order (round/claq/allocation.h)
    kSaliency,  // mean w^2 / U_jj^2
    kGain,      // by the error that each further bit takes away
    kRandom,    // for comparisons
  };
  enum class Parity {
    kNone,
    kPaper,  // no row scales, no refinement, Outlier Order, weights kept on both tails
    kCode,   // the same, tables fit kept weights too, and the ratio of column c mod 128 is used for column c
  };
  double damping = 0.01;
  ColumnOrder order = ColumnOrder::kActivation;
  Allocation allocation = Allocation::kGain;
  int64_t narrow = 0, wide = 0;  // bits of columns; 0: see width_pair; with kGain the least and greatest
  double threshold = 13;         // an outlier is so many times the mean |w|
  double reserved = 0;           // share of most columns' weights that each tail keeps in fp16
  double reserved_most = 0;      // of the first tenth of the columns in Outlier Order
  bool row_scales = true;
  int64_t refine = 1;  // turns
  Parity parity = Parity::kNone;
  bool operator==(const ClaqRounding&) const = default;
};

extern const RoundingRow kClaqMethod;
Needs needs_of(const ClaqRounding& options);
bool rounds_onto(const ClaqRounding& options, const Storage& storage);
/// Adds outliers where weights are kept, and a frame of out-scales with row scales.
Storage storage_by(const ClaqRounding& options, Storage wanted);
RoundingCost cost_of(const ClaqRounding& options, const RoundingShape& shape);
/// Error(kUsage) for a mean width that the columns' widths cannot have; Error(kRefused) for weights that are not finite
/// or beyond fp16.
Rounded round_by(const ClaqRounding& options, const RoundingProblem& problem);

/// Bits per weight as the paper counts them: of the columns, and 16 instead of the least width for the weights that one
/// tail keeps. "claq-2.12" is 2.05 + 0.07.
double published_bits(const ClaqRounding& options, int64_t milli_bits);

}  // namespace bitloom
