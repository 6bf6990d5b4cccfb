#pragma once
// Where additive codes begin (AQLM, section 3.1; papers' learned page, 1.3): scales are the rows' root mean squares,
// and the codebooks one after the other k-means of what those before have left,
//
//   x = W(r, j) / scale(r) - sum of the vectors chosen so far
//
// by plain squared error. Lloyd's algorithm (1957) on a sample, then one assignment of all; the nearest vector of a
// large codebook is looked for in the nearest cells (code_cells.h).

#include <cstdint>
#include <span>

#include "base/threads.h"
#include "round/vector/additive_code.h"

namespace bitloom {

struct ResidualKMeans {
  int64_t iterations = 15;
  int64_t samples = 64;  // for each vector of a codebook, at most
  uint64_t seed = 0;
  int64_t probes = 0;  // cells that a search looks at; 0: all vectors
};

/// Of W [rows, groups G]. A row of zeros has the scale 0. The same codes for any number of threads. Memory: W twice.
AdditiveCode start_codes(const VectorStorage& storage, int64_t rows, int64_t groups, std::span<const float> w,
                         const ResidualKMeans& options, ThreadPool& threads);

}  // namespace bitloom
