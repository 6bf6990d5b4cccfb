#pragma once
// From the residual stream behind the last block to the logits and a loss of them, and back.

#include <cstdint>
#include <functional>
#include <span>

#include "forward/adjoint/gradient_sink.h"
#include "forward/weights.h"

namespace bitloom {

/// The loss of one row, in nats; its gradient replaces the logits [vocab]. Called from many threads.
using RowLoss = std::function<double(int64_t row, std::span<float> logits)>;

/// -log softmax(logits)[labels[row]]; rows with a label below 0 have none. Gradient: softmax(logits) - 1 at the label.
RowLoss cross_entropy(std::span<const int32_t> labels);

/// -log softmax(logits)[y], y drawn from softmax(logits) by counter-based random numbers: stream first_row + row of the
/// seed (base/rng.h), so that a row's label does not depend on the rows beside it. Rows whose place in their sequence
/// is its last, of `length` each, have none: nothing is predicted behind them.
RowLoss sampled_cross_entropy(uint64_t seed, int64_t first_row, int64_t length);
/// The y of that.
int32_t sample_label(std::span<const float> logits, uint64_t seed, int64_t row);

/// The sum of the rows' losses; hidden [rows, hidden], the stream behind the last block, becomes its gradient. Memory:
/// kHeadRows rows of logits. Logits that are not finite give what the loss makes of them.
double head_adjoint(const Graph& graph, const OuterWeights& weights, float* hidden, int64_t rows, const RowLoss& loss,
                    const GradientSink& sink, ThreadPool& threads);
inline constexpr int64_t kHeadRows = 256;

}  // namespace bitloom
