#pragma once
// Adjoints of linear layers and norms outside the blocks, shown to the sink.

#include <cstdint>
#include <vector>

#include "forward/adjoint/gradient_sink.h"
#include "forward/weights.h"

namespace bitloom {

/// dx [rows, in] = dy W of a layer that read x [rows, in] and gave what dy [rows, out] is the gradient of.
std::vector<float> layer_adjoint(const Linear& named, const LinearWeights& layer, const std::vector<float>& x,
                                 const std::vector<float>& dy, int64_t rows, const GradientSink& sink,
                                 ThreadPool& threads);

/// x [rows, width], what the norm read, becomes its gradient; dy [rows, width] that of what the norm gave.
void norm_adjoint(const Norm& named, const NormWeights& norm, float* x, const float* dy, int64_t rows, int64_t width,
                  const GradientSink& sink, ThreadPool& threads);

}  // namespace bitloom
