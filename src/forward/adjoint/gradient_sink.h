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
  /// The embedding, and learned positions: row rows[i] of the table was what dy's row i [columns of the table] is the
  /// gradient of. The table's gradient is the sum; that of a tied head comes by linear(). Valid during the call.
  std::function<void(const std::string& table, std::span<const int64_t> rows, std::span<const float> dy)> looked_up;
  VectorGradients* vectors = nullptr;  // added to
};

}  // namespace bitloom
