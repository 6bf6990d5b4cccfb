#pragma once
// A graph and its weights: all that is needed to execute a network or to rewrite it. Knows no tokenizer, no text.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/graph.h"
#include "model/weights.h"

namespace bitloom {

/// Tensors of a model replaced by others: what a function-preserving rewrite makes of it.
struct TensorEdits {
  std::map<std::string, RowSourcePtr> tensors;  // by name: matrices of linear layers as W [out, in], vectors as [1, n]
  bool untie_head = false;  // the head gets a tensor of its own, "lm_head.weight", which `tensors` must hold
};

/// A value that is cheap to copy.
class Model {
 public:
  /// `weights` has every tensor of expected_tensors(graph), with its shape.
  Model(std::shared_ptr<const Graph> graph, Weights weights) : graph_(std::move(graph)), weights_(std::move(weights)) {}

  const Graph& graph() const { return *graph_; }
  const Weights& weights() const { return weights_; }

  /// See Weights.
  const std::string& path() const { return weights_.origin(); }
  bool has(const std::string& name) const { return weights_.has(name); }
  const CheckpointTensor& tensor(const std::string& name) const { return weights_.tensor(name); }
  std::vector<CheckpointTensor> tensors() const { return weights_.tensors(); }  // in the order of expected_tensors()
  RowSourcePtr matrix(const Linear& linear) const { return weights_.matrix(linear); }
  std::vector<float> vector(const std::string& name) const { return weights_.vector(name); }
  void release(const std::string& name) const { weights_.release(name); }
  bool is_edited(const std::string& name) const { return weights_.is_edited(name); }

  /// This with some tensors replaced; everything else is shared. Untying a head that is not tied changes nothing.
  /// Errors as Weights::edited; Error(kFailed) for a head that is untied without a tensor.
  Model edited(const TensorEdits& edits) const;

 private:
  std::shared_ptr<const Graph> graph_;
  Weights weights_;
};

}  // namespace bitloom
