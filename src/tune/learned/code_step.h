#pragma once
// Codes that are learned beside codebooks and scales: PV-Tuning (Malinovskii et al. 2024, 2405.14852; papers' learned
// page, 1.6). Each matrix has, besides W, which its codes stand for, the weights B that steps against the gradient
// G = dL/dW would have made of it. A step is
//
//   P     codebooks, scales and norms by Adam (adam.h), G taken through what codes stand for
//   B     v <- 0.95 v + 0.05 G^2,   B -= rate size G / (sqrt(v / (1 - 0.95^t)) + e),   size the mean square root of W^2
//   V     tiles, groups of weights of a row whose codes go together, ranked by |B - W|^2 under the new codebooks; of
//   the
//         first `changes` of all, the codes that are nearest to B, as a beam finds them; down the ranking they are
//         taken until what they have moved W by would exceed `trust` |W|, the first that moves whatever it is
//         B <- B + decay (W - B)
//
// B starts as W: with decay 0 it drifts, straight through what is stored; with 1 every step begins at W, the paper's
// linearised step.
//
// Goals: the same bytes for any number of threads. Memory: B and v in fp32 for every weight.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "tune/learned/parametrisation.h"
#include "tune/learned/vectors.h"

namespace bitloom {

struct CodeOptions {
  double rate = 0.01;     // of B's steps, relative to the matrix
  double changes = 0.01;  // share of the tiles that are looked at in a step
  double trust = 0.01;    // what W may move by in a step, relative to it
  double decay = 0;
  int64_t beam = 4;
};

/// All that the next step depends on, by matrix.
struct CodeState {
  Codes codes;
  Vectors wanted, second;  // B and v, [rows, cols]
  bool operator==(const CodeState&) const = default;
};

/// Takes a matrix's G piece by piece, of its weights from `first` on, row by row; on any thread.
using OfWeights = std::function<void(const std::string& name, int64_t first, std::span<const float> g)>;

/// B's step by a piece of G, the t-th, t from 1; wanted and second: of the same weights. `step`: rate times size.
void move_wanted(std::span<const float> g, double step, int64_t t, float* wanted, float* second);

/// One matrix in a V step.
struct CodeMatrix {
  const Parametrisation& parts;
  const Parametrisation::Values values;
  int64_t rows = 0, cols = 0;
};

/// W [rows, cols].
std::vector<float> dense_weights(const CodeMatrix& matrix, ThreadPool& threads);

/// The V step of one matrix: changes codes, which `values` may point to, and by the decay `wanted`. The number of tiles
/// that changed.
int64_t choose_codes(const CodeMatrix& matrix, const CodeOptions& options, std::vector<uint16_t>& codes,
                     std::vector<float>& wanted, ThreadPool& threads);

}  // namespace bitloom
