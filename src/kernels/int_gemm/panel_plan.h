#pragma once
// How the kernels of int_gemm.h take a matrix apart, whatever their instructions: all add the same terms in the same
// order, with the same fused steps, so that all give the same bits.

#include <cstdint>

#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {

/// Which columns of a panel share a scale: sixteen, one of the input's blocks, or several of them.
///
/// Of a row and a token, with s the scale of the weights, a that of the input, m minimums and v the input's sums:
///   kSixteens   total <- fma(fma(sum of the second half, s', sum of the first half * s), a, total)
///   kBlocks     total <- fma(sum * a, s, total)
///   kGroups     part <- fma(sum, a, part) over the blocks of a group, then total <- fma(part, s, total)
/// and after each, total <- fma(v, m, total) for the minimums of these columns.
enum class PanelScales { kSixteens, kBlocks, kGroups };

struct PanelPlan {
  PanelScales scales;
  int64_t blocks;           // of kInputBlock columns
  int64_t steps;            // of step columns: what a scale serves at least
  int64_t steps_per_group;  // of the matrix
  int step;                 // 16 or 32
  int minimum_columns;      // that share a minimum: 0 (none), 16 or 32
  bool subtracts_zeros;     // zero points are taken from the levels, not from sums
};

/// `folded`: the scales of sixteen columns are in the levels, 256 columns share what is left.
inline PanelPlan plan_panels(const IntRows& w, int bits, bool minimums, bool folded) {
  const int64_t group = folded ? 256 : w.group;
  const bool whole_row = group >= w.cols, sixteens = !whole_row && group % 32 != 0;
  PanelPlan plan;
  plan.blocks = (w.cols + 31) / 32;
  plan.steps = sixteens ? (w.cols + 15) / 16 : plan.blocks;
  plan.step = sixteens ? 16 : 32;
  plan.steps_per_group = whole_row ? plan.steps : group / plan.step;
  plan.subtracts_zeros = w.zeros != nullptr && bits < 8;
  plan.minimum_columns = minimums || (w.zeros != nullptr && !plan.subtracts_zeros) ? (folded ? 16 : plan.step) : 0;
  plan.scales = sixteens                    ? PanelScales::kSixteens
                : plan.steps_per_group == 1 ? PanelScales::kBlocks
                                            : PanelScales::kGroups;
  return plan;
}

}  // namespace bitloom
