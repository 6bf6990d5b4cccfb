#pragma once
// A tile of rows of one layer as learned rounding sees it: the loss, its gradient, the optimizer's iterations.

#include <cstdint>
#include <vector>

#include "round/adaround/soft_rounding.h"

namespace bitloom {

/// Recipes call it "adaround". The paper's schedule is beta 20 to 2 after a warmup of 0.2, ramp 0; the defaults are
/// what did best on layers of language models.
struct AdaRounding {
  int64_t iterations = 400;
  double regularizer = 2;  // per weight, in units of the loss of its own rounding error
  double ramp = 1;         // the regularizer grows as (t / end)^ramp after the warmup; 0: constant
  double beta_start = 2, beta_end = 2;
  double warmup = 0;  // share of the iterations without the regularizer
  double learning_rate = 0.05;
  bool descent = true;  // afterwards single codes are flipped while that lowers the loss
  bool operator==(const AdaRounding&) const = default;
};

// The quadratic loss. Inputs x of the quantized prefix, f of the float model, e = f - x; wanted W f, made Q x. With
// D = Q - W,
//   mean |W f - Q x|^2 = mean |W e - D x|^2
//                      = tr(D H D^T) - 2 tr(D C^T W^T) + const,   H = mean x x^T, C = mean e x^T
// so that rows are independent and row r, with p_r = w_r C, loses
//   q(d_r) = d_r H d_r^T - 2 p_r d_r^T,   gradient by d_r: 2 (d_r H - p_r).
// Nothing but H and C is needed of the tokens.
//
// The whole loss of a row (paper's eq. 21, in units of its own rounding error):
//   q(d) + lambda sum_j u_j f(h_j),   u_j = H_jj step_j^2 / 12
// u_j is what a weight's rounding error, uniform over its step, costs by itself. Adam is blind to a scaling of each
// weight's gradient, so the learning of a layer depends on neither the size of its weights, steps and inputs nor on the
// number of its rows or channels: lambda has the same meaning everywhere. (The paper's lambda = 0.01 is relative to a
// mean of squared outputs, and so differs from layer to layer.)

/// What the loss knows of the layer's inputs; d = channels.
struct LayerStatistics {
  int64_t channels = 0;
  const float* second = nullptr;  // H [d, d] = mean x x^T
  const float* cross = nullptr;   // C [d, d] = mean (f - x) x^T, or null: f = x
};

/// Rows are independent; all arrays are [rows, d]. A weight lies between two levels:
///   w~ - w = base + h(alpha) step,   base = lower level - w,   step = upper - lower level (0: fixed)
struct SoftTile {
  int64_t rows = 0;
  std::vector<float> base, step, alpha;
  std::vector<float> pull;  // W C, or empty
};

/// pull = W C for the rows w [rows, d]; leaves it empty without a cross moment.
void set_pull(const LayerStatistics& layer, const float* w, SoftTile& tile);

/// deviation D [rows, d] = Q - W  ->  half of the gradient of the quadratic loss, D H - W C.
void half_gradient(const LayerStatistics& layer, const SoftTile& tile, const float* deviation, float* out);

/// Quadratic loss of every row of D: d^T H d - 2 (w C) d. `scratch` [rows, d] holds half_gradient afterwards.
std::vector<double> row_losses(const LayerStatistics& layer, const SoftTile& tile, const float* deviation,
                               float* scratch);

/// gain [rows, d]: what turns half_gradient into the gradient by h in units of each weight's own rounding error,
/// u = H_jj step^2 / 12; 0 for fixed weights.
std::vector<float> gains(const LayerStatistics& layer, const SoftTile& tile);

/// Runs options.iterations steps on tile.alpha.
void learn(const LayerStatistics& layer, const AdaRounding& options, SoftTile& tile);

/// beta, regularizer and rate of one iteration.
SoftStep step_at(const AdaRounding& options, int64_t iteration);

/// Coordinate descent on the rounded weights: up [rows, d] says which of its two levels each has. In every row the one
/// flip that lowers the quadratic loss most is made, until none does.
void descend(const LayerStatistics& layer, const SoftTile& tile, std::vector<uint8_t>& up);

}  // namespace bitloom
