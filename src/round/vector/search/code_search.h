#pragma once
// One sweep of beam search over all codes of a matrix (AQLM, section 3.2; papers' learned page, 1.4), in blocks of
// groups so that most of its work is dense products (the same page, 1.10).
//
// Groups are visited in a random order, in each its codebooks. Every hypothesis of a row, a choice of codes, is tried
// with each vector c in the place of its own, `old`:
//
//   loss(c) = loss + s^2 (c H_jj c^T - old H_jj old^T) - 2 s (c - old) . d,   d = s H_jj old - R_j,  R = (What - W) H
//
// and the best `beam` of all go on; of a large codebook only those in the cells nearest to where the loss is least are
// tried, and `old` (code_cells.h). After a block of groups the best is kept alone, and R takes its change to all
// columns. A row's loss never rises, but for rounding.
//
// Goals: the same codes for any number of threads. Rows are separable.

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "round/vector/additive_code.h"

namespace bitloom {

/// In which order a sweep visits groups, and codebooks in each.
struct SweepOrder {
  std::vector<int64_t> groups;     // [groups]
  std::vector<int64_t> codebooks;  // [groups, M], by place in `groups`
};
SweepOrder random_order(const AdditiveCode& code, uint64_t seed, int64_t sweep);

/// Groups of a block: as many as have 128 columns.
int64_t groups_of_block(const VectorStorage& storage);

/// How far a sweep looks.
struct CodeSearch {
  int64_t beam = 1;    // 1 to 64
  int64_t probes = 0;  // cells of a codebook; 0, or one that is too small for cells: all vectors
};
bool searches_cells(const VectorStorage& storage, int64_t probes);
/// What a thread holds of the hypotheses of its rows.
int64_t search_bytes(const VectorStorage& storage, const CodeSearch& search);

/// Changes code.codes, and residual [rows, width] with them; what each row's loss changed by, as it was counted.
std::vector<double> sweep_codes(AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order,
                                const CodeSearch& search, std::vector<float>& residual, ThreadPool& threads);

/// The definition: every hypothesis's loss from all its weights, in fp64. For tests.
void sweep_codes_reference(AdditiveCode& code, const LayerMoment& moment, const SweepOrder& order, int64_t beam,
                           std::span<const float> w);

}  // namespace bitloom
