#pragma once
// pytorch_model.bin: a state dict as torch.save writes it since torch 1.6, a zip archive.
//
//   NAME/data.pkl     which tensors there are (state_dict.h)
//   NAME/data/KEY     the bytes of a storage, little-endian
//   NAME/byteorder    "little"; absent before torch 2.1
//
// Goals: contiguous tensors are views of the mapped file; every number is checked against the file before it is used;
// nothing that the file asks for is run. Non-goals: older files (a pickle or a tar archive: refused with how to convert
// them), whole training states, TorchScript, sparse and quantized tensors.

#include <string>
#include <vector>

#include "io/tensor_view.h"

namespace bitloom {

/// Tensors in the order of the state dict; those that share a storage share bytes. What is not contiguous (a transpose)
/// is copied, all copies of a file taking no more than its size. Error(kRefused) names file, tensor and value.
std::vector<TensorView> open_torch_file(const std::string& path);

}  // namespace bitloom
