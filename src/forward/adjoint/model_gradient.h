#pragma once
// The gradient of a loss through a whole model, block by block with recomputation: the stream before every block is
// kept, everything else is computed again when its block is differentiated.
//
// Memory: blocks * rows * hidden fp32, and what one BlockAdjoint and the head take.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "forward/adjoint/head_adjoint.h"
#include "model/model.h"

namespace bitloom {

/// Called after each block's backward pass with the gradient of the stream before it [rows, hidden].
using BlockInputGradient = std::function<void(int block, std::span<const float> gradient)>;

/// `batch` sequences of `length` tokens each, tokens [batch, length]. Returns the sum of the rows' losses. `blocks` may
/// be empty. Error(kRefused) as Decoder::forward().
double model_gradient(const Model& model, std::span<const int32_t> tokens, int64_t batch, int64_t length,
                      const RowLoss& loss, const GradientSink& sink, const BlockInputGradient& blocks,
                      ThreadPool& threads);

}  // namespace bitloom
