#pragma once
// Where a backward pass leaves gradients.

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/graph.h"

namespace bitloom {

/// Gradients of norms' weights and biases, of linear layers' biases, sinks and output scales, by the graph's names.
using VectorGradients = std::map<std::string, std::vector<double>>;

/// What is not wanted is left empty or null, and costs nothing.
struct GradientSink {
  /// Every linear layer, in the order of the backward pass: what it read, x [rows, in], and the gradient of what it
  /// gave, dy [rows, out], the same rows: all of the pass, or an expert's. The weight's gradient is dy^T x. Valid
  /// during the call.
  std::function<void(const Linear& linear, std::span<const float> x, std::span<const float> dy)> linear;
  VectorGradients* vectors = nullptr;  // added to
};

}  // namespace bitloom
