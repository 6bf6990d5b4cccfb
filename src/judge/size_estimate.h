#pragma once
// What a model would weigh in each storage scheme, without quantizing it.

#include <string>
#include <vector>

#include "base/context.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct SizeEstimate {
  std::string scheme;
  double bits_nominal = 0, bits_true = 0;  // per weight of the matrices of the blocks
  int64_t model_bytes = 0;                 // all tensors, those that stay included
  double bits_model = 0;                   // the same per weight of the model
};

/// One estimate per named scheme and common short name, largest first. What it reads of the weights, and what it shows
/// of progress, is what plan_tensors() does.
std::vector<SizeEstimate> estimate_sizes(const Checkpoint& model, Context& context);

}  // namespace bitloom
