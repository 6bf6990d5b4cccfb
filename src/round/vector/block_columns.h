#pragma once
// The column policy of codebooks of blocks (round/vector/gptvq.h). When a run of columns begins, k-means by the
// columns' metrics on its compensated weights makes the codebooks of its blocks, rounded to their 8 bits; then vector
// by vector of columns every row takes the nearest. Where the storage has scales for runs of columns, the weights are
// divided by these first, which follow the runs' greatest magnitudes, and k-means counts every
// vector by its scale's square, as the loss does. The metric of columns J is what an error e in them costs when the
// columns behind make up for it as well as they can:
//
//   |e U_JJ^-1|^2 = e M_J e^T,   M_J = (U_JJ^T U_JJ)^-1
//
// and the loop, fed inside vectors too, does just that. (The published code weighs by 1 / U_jj^2 alone, and leaves out
// what the columns of a vector could make up for each other.) After the loop codebooks move to the least loss of the
// tile for the codes as they are (block_fit.h), are rounded again, and stay as they were where that is no better.
//
// Rows are separable in tiles of 256.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "format/families/vector/block_vectors.h"
#include "round/column_loop/column_policy.h"
#include "round/vector/additive_code.h"

namespace bitloom {

/// M_J of each group of G columns: [groups, G, G] of U [columns, columns], upper triangular; of columns beyond the last
/// zeros.
std::vector<float> column_metrics(const float* u, int64_t columns, int64_t group);

/// Codebooks [blocks, 2^B, G] in 8 bits.
struct ByteCodebooks {
  std::vector<int8_t> values;
  std::vector<float> scales;  // [blocks], numbers of fp16
};
/// Each block's greatest magnitude becomes 127. codebooks [blocks, size].
ByteCodebooks to_bytes(std::span<const float> codebooks, int64_t size);
/// As they decode.
std::vector<float> from_bytes(const ByteCodebooks& codebooks);

/// Scales 2^(step (n - 15)) relative to each other as `sizes` are, n < 16 by rounding in the logarithm: from 15 for the
/// greatest down to 0 for the size that one in 64 is smaller than, and for smaller ones; where that is farther down
/// than the step allows, 15 powers of two, for all that are so small. Step 0 where sizes do not differ.
struct ScaleFit {
  float step = 0;  // a number of fp16
  std::vector<uint16_t> codes;
};
ScaleFit fit_log_scales(std::span<const float> sizes);

struct BlockColumnProblem {
  const Storage& storage;               // BlockVectorStorage
  const RowSource& weights;             // W [rows, columns], finite; 0 where nothing is read
  const std::vector<float>& metrics;    // column_metrics
  const LayerMoment* moment = nullptr;  // H; null: codebooks stay as the loop made them
  int64_t turns = 0;                    // of k-means
  int64_t iterations = 0;               // of the fit after the loop
  ThreadPool& threads;
};
/// What is referred to must outlive the policies.
std::unique_ptr<ColumnPolicies> make_block_policies(const BlockColumnProblem& problem);

}  // namespace bitloom
