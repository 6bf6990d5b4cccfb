#pragma once
// The gradient of a loss through a whole model, block by block with recomputation: the stream before every block is
// kept, everything else is computed again when its block is differentiated.
//
// Memory: blocks * rows * hidden fp32, rows those of all batches, and what one BlockAdjoint and the head take for one.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "forward/adjoint/head_adjoint.h"
#include "model/model.h"

namespace bitloom {

/// `batch` sequences of `length` tokens each, tokens [batch, length], and the loss of their rows.
struct GradientBatch {
  std::span<const int32_t> tokens;
  int64_t batch = 0, length = 0;
  RowLoss loss;
};

/// Called after each block's backward pass of each batch with the gradient of the stream before it [rows, hidden].
using BlockInputGradient = std::function<void(int block, std::span<const float> gradient)>;

/// The batches pass a block one after another before any passes the block below. Returns the sum of the rows' losses.
/// `blocks` may be empty. Error(kRefused) as Decoder::forward().
double model_gradient(const Model& model, std::span<const GradientBatch> batches, const GradientSink& sink,
                      const BlockInputGradient& blocks, ThreadPool& threads);

/// The loss alone, forward once: memory of one block's activations.
double model_loss(const Model& model, const GradientBatch& batch, ThreadPool& threads);

/// Of one batch.
double model_gradient(const Model& model, std::span<const int32_t> tokens, int64_t batch, int64_t length,
                      const RowLoss& loss, const GradientSink& sink, const BlockInputGradient& blocks,
                      ThreadPool& threads);

}  // namespace bitloom
