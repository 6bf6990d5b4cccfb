#pragma once
// config.json to Graph. One file per architecture under arch/, one line each in architecture.cc.

#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "model/graph.h"

namespace bitloom {

/// The tensors a checkpoint has, as far as building a graph needs to know them.
class TensorNames {
 public:
  virtual ~TensorNames() = default;
  virtual bool has(const std::string& name) const = 0;
};

struct Architecture {
  std::string model_type;  // "llama"
  Graph (*build)(const Json& config, const std::string& origin, const TensorNames& names);
};

std::span<const Architecture> architectures();

/// The graph of a checkpoint. `origin` is config.json's path, for messages. Error(kRefused) for an unknown
/// architecture (listing the known ones), a missing or mistyped key, and a key whose value would change results and is
/// not supported.
Graph build_graph(const Json& config, const std::string& origin, const TensorNames& names);

}  // namespace bitloom
