#pragma once
// What a model would weigh in each storage scheme, without quantizing it.

#include <string>
#include <vector>

#include "base/threads.h"
#include "model/checkpoint.h"

namespace bitloom {

struct SizeEstimate {
  std::string scheme;
  double bits_nominal = 0, bits_true = 0;  // per weight of the matrices of the blocks
  int64_t model_bytes = 0;                 // all tensors, those that stay included
};

/// One estimate per named scheme and common short name, largest first. Of the weights it reads only tensors that stay
/// but cannot stay in their storage (GGUF blocks), to see how wide they become.
std::vector<SizeEstimate> estimate_sizes(const Checkpoint& model, ThreadPool& threads);

}  // namespace bitloom
