#pragma once
// Random Hadamard rotations folded into the weights (QuaRot, Ashkboos et al., NeurIPS 2024, section 4; SliceGPT,
// Ashkboos et al., ICLR 2024, theorem 1). Nothing is left to do when the model runs, and nothing in it has outliers any
// more.
//
// Residual stream, h [hidden] as a row vector, R orthogonal: h <- h R. An RMS norm without weights commutes with R, so
//   norms:                   w -> 1 (1 + w -> 1), once their weights are folded into what reads them
//   embedding:               E <- E R
//   q, k, v, gate, up, head: W <- W diag(w) R         (w of the norm before them; the head gets a tensor of its own)
//   output, down:            W <- R^T W,  b <- b R
// Heads, for the channels of each key head, Q orthogonal, one for all heads of a block (attention is linear in v):
//   v rows of the head:      W <- Q^T W,  b <- b Q
//   output:                  columns of each query head  W <- W Q
//
// The first needs a graph whose blocks read the residual stream through RMS norms or directly and add to it directly:
// LayerNorm subtracts a mean that R mixes, a norm after a branch or after the sum has a weight between two rotations.
// The second is exact in every graph.

#include <cstdint>
#include <memory>

#include "model/model.h"
#include "transform/transform.h"

namespace bitloom {

/// Memory of output and down matrices of one rotated model that are decoded and not released: each is made from
/// all its rows at once, so it is kept as fp32. At most so many bytes, or one matrix when that is greater. All else is
/// rotated row by row as it is decoded.
inline constexpr int64_t kRotatedBytes = int64_t{1} << 30;

/// Error(kUsage) naming the part of the graph that stands against it when the transform is not exact there.
void check_rotation(const Graph& graph, const HadamardTransform& transform);

/// What makes the rotated model. Weights are decoded, and rotated, when they are asked for, in fp64 with one rounding
/// to fp32 for each of the (at most two) rotations of a matrix; only norms and biases are read here. The same seed
/// gives the same model. Errors as check_rotation.
TensorEdits rotate(const Model& model, const HadamardTransform& transform, uint64_t seed);

}  // namespace bitloom
