#pragma once
// An output that is larger than its source: not what most want, so it is said.

#include <string>
#include <vector>

#include "model/checkpoint/checkpoint.h"
#include "pipeline/output/plan.h"

namespace bitloom {

/// "the output is larger than its source: 93.8 MiB -> 270 MiB; ...", with the tensors that grow most, their storage
/// before and after; "" where it does not grow.
std::string growth_remark(const Checkpoint& source, const std::vector<PlannedTensor>& plan);

}  // namespace bitloom
