#pragma once
// Vectors that are learned, by name: a norm's weights by those of its tensor, parts of a quantized matrix by
// it and the part, "model.layers.0.mlp.up_proj.weight.in_scales"; latent weights are such a part. Codes that are
// learned, by the matrix.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bitloom {

using Vectors = std::map<std::string, std::vector<float>>;
using Codes = std::map<std::string, std::vector<uint16_t>>;

}  // namespace bitloom
