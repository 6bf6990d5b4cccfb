#pragma once
// Where a new LoRA adapter begins (Hu et al. 2021, 2106.09685, 4.1): its product is 0, so that the model is as it was.

#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "export/peft/adapter.h"
#include "model/model.h"

namespace bitloom {

struct NewAdapter {
  int64_t rank = 16;
  double alpha = 0;                       // scale = alpha / rank; 0: alpha = rank
  std::vector<std::string> targets = {};  // modules by what their names end with; none: all, but routers of experts
                                          // and the gates of shared ones
  bool dora = false;                      // with magnitudes (Liu et al. 2024, 2402.09353): the lengths of W's rows
  uint64_t seed = 0;
};

/// B = 0; A uniform in [-1 / sqrt(in), 1 / sqrt(in)], as peft's kaiming_uniform with slope sqrt(5), by counter-based
/// random numbers. Error(kUsage): a checkpoint of whose modules peft would find none (check_names_for_peft), a target
/// that no module of the blocks is called, one whose experts a checkpoint holds together, a rank that is below 1 or
/// above the lesser side of a matrix.
PeftAdapter begin_adapter(const Model& model, const NewAdapter& options, ThreadPool& threads);

}  // namespace bitloom
