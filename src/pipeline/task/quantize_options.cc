#include "pipeline/task/quantize_options.h"

namespace bitloom {

int64_t CalibrationData::tokens() const {
  int64_t total = 0;
  for (const std::vector<int32_t>& sequence : sequences) total += static_cast<int64_t>(sequence.size());
  return total;
}

}  // namespace bitloom
