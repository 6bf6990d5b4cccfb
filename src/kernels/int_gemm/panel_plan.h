#pragma once
// How the kernels of int_gemm.h take a matrix apart, whatever their instructions: all add the same terms in the same
// order, with the same fused steps, so that all give the same bits.

#include <algorithm>
#include <cstddef>
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
  plan.subtracts_zeros = w.zeros != nullptr && !w.real_zeros && bits < 8;
  plan.minimum_columns = minimums || (w.zeros != nullptr && !plan.subtracts_zeros) ? (folded ? 16 : plan.step) : 0;
  plan.scales = sixteens                    ? PanelScales::kSixteens
                : plan.steps_per_group == 1 ? PanelScales::kBlocks
                                            : PanelScales::kGroups;
  return plan;
}

namespace {  // every source has its own, compiled for its instructions

/// kPanelRows rows, unpacked.
template <typename Level>
struct PanelOf {
  Level* levels;    // [columns / 4, kPanelRows, 4], or as the kernel says
  float* scales;    // [columns / those that share one, rounded up, kPanelRows], the matrix's factor in them
  float* minimums;  // [columns / 16 or 32, kPanelRows]: what is added to every weight
};

/// The i-th of the call's scratch.
template <typename Level>
PanelOf<Level> panel_of(const IntGemmCall& call, int64_t i) {
  const int64_t wide = call.x.stride, scales = kPanelRows * (wide / 16);
  std::byte* at = call.scratch + i * panel_bytes(kPanelRows, call.w.cols);
  auto* floats = reinterpret_cast<float*>(at + kPanelRows * wide);
  return {reinterpret_cast<Level*>(at), floats, floats + scales};
}

/// unpack(first row, panel) of the call's rows, and multiply(block of tokens, first row, panel) for all of its tokens.
template <typename Level, typename Unpack, typename Multiply>
void for_panels(const IntGemmCall& call, const Unpack& unpack, const Multiply& multiply) {
  // A single block of tokens needs a panel once.
  const int64_t rows = call.tokens <= kTokenBlock ? kPanelRows : call.last - call.first;
  for (int64_t first = call.first; first < call.last; first += rows) {
    const int64_t last = std::min(first + rows, call.last), panels = (last - first + kPanelRows - 1) / kPanelRows;
    for (int64_t i = 0; i < panels; ++i) unpack(first + i * kPanelRows, panel_of<Level>(call, i));
    for (int64_t block = 0; block * kTokenBlock < call.tokens; ++block) {
      for (int64_t i = 0; i < panels; ++i) multiply(block, first + i * kPanelRows, panel_of<Level>(call, i));
    }
  }
}

}  // namespace
}  // namespace bitloom
