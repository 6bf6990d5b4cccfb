#pragma once
// What a checkpoint's tensors are and weigh, one by one, those of all blocks together, or all.

#include <cstdint>
#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct TensorGroup {
  std::string name, shape, storage;  // "model.layers.*.mlp.up_proj.weight", "[256, 64]", "BF16"
  int64_t count = 0, weights = 0, bytes = 0;
  double bits() const;  // stored, per weight; 0 without weights
};

/// Tensors in the order of the file; with `summarise`, those of one storage and shape that differ only in numbers of
/// their name together, where the first of them stands.
std::vector<TensorGroup> tensor_groups(const Checkpoint& model, bool summarise);

/// All of them as one, without a name.
TensorGroup all_tensors(const Checkpoint& model);

}  // namespace bitloom
