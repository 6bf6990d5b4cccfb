#pragma once
// What no layout of weights alone can hold.

#include <string>
#include <string_view>

#include "model/graph.h"

namespace bitloom {

/// Error(kUsage) where inputs of linear layers, or attention's operands, are rounded: names the model, the place and
/// the layout.
void refuse_rounded_inputs(const std::string& model, const Graph& graph, std::string_view layout);

}  // namespace bitloom
