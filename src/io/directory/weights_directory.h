#pragma once
// The weights of a model directory, whichever of the two formats of the field holds them.

#include <map>
#include <string>
#include <vector>

#include "io/tensor_view.h"

namespace bitloom {

/// The first that is there: model.safetensors, the shards of model.safetensors.index.json, pytorch_model.bin, the
/// shards of pytorch_model.bin.index.json; as in transformers. `absent` and refusals as of open_safetensors_directory.
std::vector<TensorView> open_weights_directory(const std::string& directory,
                                               std::map<std::string, std::string>* absent = nullptr);

}  // namespace bitloom
