#pragma once
// Normalisation of rows.

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "model/graph.h"

namespace bitloom {

/// A norm's values, decoded once. Empty weight: the identity.
struct NormWeights {
  NormKind kind = NormKind::kRms;
  float eps = 1e-5f;
  std::vector<float> weight, bias;  // [width]; bias may be empty
  bool present() const { return !weight.empty(); }
};

/// out [rows, width] = norm(x [rows, width]), see NormKind. In place when out == x. Mean and variance are accumulated
/// in fp64 and rounded once.
void norm_rows(const NormWeights& norm, const float* x, int64_t rows, float* out, ThreadPool& threads);

/// The same for one row, in place.
void norm_row(const NormWeights& norm, const float* x, float* out);
/// x and out [width] by the norm's weights and biases [first, first + width).
void norm_row(const NormWeights& norm, int64_t first, int64_t width, const float* x, float* out);

/// The adjoint of that at x, with g_i = dy_i w_i (or 1 + w_i), n = (x - mean) r what is multiplied by w, r the inverse
/// root:
///   dx_i = r (g_i - mean(g) - n_i mean(g n))        mean and mean(g) are 0 of a norm that does not subtract the mean
///   dw_i += dy_i n_i,  db_i += dy_i
/// In place when dx == dy; dw and db [width], null where not wanted.
void norm_row_adjoint(const NormWeights& norm, int64_t first, int64_t width, const float* x, const float* dy, float* dx,
                      double* dw, double* db);

}  // namespace bitloom
