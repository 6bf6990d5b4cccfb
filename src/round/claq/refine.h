#pragma once
// What is left to gain once error feedback has chosen: levels and codes of column codebooks by coordinate descent on
// the layer's whole error (the least squares step of LNQ; Kim et al., GuidedQuant, 2025; papers' column-wise page, 8).
//
//   min tr(E H E^T),  E = W - Q,  q_ij = r_i table_j[code_ij]
//
// With G = E H, column j alone would best be t_ij = q_ij + G_ij / H_jj. Each turn, column by column: codes of the
// levels nearest to t_ij / r_i; levels to the means of the t_ij / r_i that they stand for, weighted by r_i^2; kept
// weights to t_ij. No step raises the error, up to the rounding of levels to fp16.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/threads.h"
#include "round/claq/error_product.h"
#include "round/column_loop/codebook_columns.h"

namespace bitloom {

struct RefineProblem {
  int64_t rows = 0, cols = 0;
  const float* original = nullptr;    // W^T [cols, rows], by position
  const std::vector<int64_t>& order;  // position -> column
  // out [end - begin, cols]: rows [begin, end) of the symmetric second moment, above 0 on the diagonal. Called for all
  // rows in turn, every turn.
  std::function<void(int64_t begin, int64_t end, float* out)> moment_rows;
  const std::vector<float>& row_scales;  // empty: 1
  float* errors = nullptr;               // [cols, rows], becomes E^T, by column
  // G by words (round/claq/error_product.h); otherwise by sgemm.
  bool words = ErrorProduct::words_are_fast();
};

/// rows cols^2 multiply-adds a turn. Memory: refine_memory(). The same bytes for any number of threads.
void refine_codebooks(const RefineProblem& problem, int64_t turns, ColumnCodebooks& chosen, ThreadPool& threads);

/// Bytes, beside ErrorProduct::kThreadMemory for each thread.
int64_t refine_memory(int64_t rows, int64_t cols);

}  // namespace bitloom
