#pragma once
// Names of what other tools call modules.

#include <map>
#include <string>

#include "model/graph.h"

namespace bitloom {

/// "model.layers.0.self_attn.q_proj" of "model.layers.0.self_attn.q_proj.weight": as transformers and peft name the
/// module.
std::string module_of(const std::string& tensor);
/// Every linear layer of the blocks, by tensor.
std::map<std::string, const Linear*> block_linears(const Graph& graph);

}  // namespace bitloom
